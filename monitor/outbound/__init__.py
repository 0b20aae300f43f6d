"""HTTP requests to third parties that nothing outlasts. What an answer means is known to whoever asked."""
