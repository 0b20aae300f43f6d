"""The history as people read it: uptime, outages, the SLA claim, CSV, and the words for figures."""
