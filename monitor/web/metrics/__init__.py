"""The metrics, as Prometheus reads them: scraped, pushed, or written to a file."""
