"""The command `check`: one round, and what it prints."""
