"""The sums of the history and their arithmetic; no SQL."""
