"""The small commands: backup, config, incidents, init, test-alerts."""
