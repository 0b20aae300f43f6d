"""Measures what design figures promise; nothing here is a test."""
