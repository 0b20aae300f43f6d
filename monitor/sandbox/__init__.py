"""Stand-ins on loopback for Upstash, its console and status page, Railway, Slack and Telegram.

For the demo, the bench and the tests. Imports nothing of the program: a fault of the program must not hide here.
"""
