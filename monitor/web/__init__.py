"""The page, the badges, the JSON and the metrics, and the server that answers with them."""
