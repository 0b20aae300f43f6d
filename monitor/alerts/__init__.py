"""What is told and where: the notification, its wording, when a delivery is tried again, and the channels."""
