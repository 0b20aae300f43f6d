"""What runs when: the scheduler of `run`, the round of `check`, the cycle of one check, deliveries, wiring."""
