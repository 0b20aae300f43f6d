"""The rows of each table, read and written within a transaction of the caller's."""
