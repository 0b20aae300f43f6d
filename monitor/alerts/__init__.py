"""What is told to people: the notification, the text of a message, when it is retried, and the channels.

Others import `Notification` and its kinds from `notification`, `Channel` and `LogChannel` from `channel`, the
outbox message and its delivery from `retry_policy`, and each other channel from the module of its name.
"""
