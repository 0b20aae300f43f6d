"""The SQLite file: everything that is remembered."""
