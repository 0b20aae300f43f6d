"""Stand-ins on loopback: Upstash, serverless-redis-http, console, status page, Railway, Slack, Telegram.

For the demo, the bench and the tests. Imports nothing of the program: a fault of the program must not hide here.
"""
