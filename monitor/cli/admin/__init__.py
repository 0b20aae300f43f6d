"""The small commands: backup, config, incidents, init, silence, test-alerts."""
