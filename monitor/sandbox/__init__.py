"""Stand-ins on loopback for Upstash and its console and status page, Railway, Slack and Telegram.

Imports nothing of the house.
"""
