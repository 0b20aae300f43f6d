"""Stand-ins for Upstash, Slack and Telegram on loopback. Imports nothing of the house."""
