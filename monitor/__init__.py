"""A monitor for Upstash Redis: checks on a schedule, keeps the history, tells people what to do."""

__version__ = "0.1.0"
