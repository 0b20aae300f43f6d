"""The drawings of the page, as SVG."""
