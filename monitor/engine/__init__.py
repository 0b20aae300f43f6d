"""What runs when: the schedule, one check's cycle, one round of `check`, deliveries, the heartbeat."""
