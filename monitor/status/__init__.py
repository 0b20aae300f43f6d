"""Hands that reach a browser or a scraper. Nothing in this folder looks at a database."""
