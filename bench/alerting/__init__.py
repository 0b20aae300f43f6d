"""What a month of faults makes of alert rules, ours and the peers': seeded, in virtual time.

`faults` makes the histories, `models` has the peers' rules and `ours` those of this program, `run` puts them
together, `table` words what came out. `python -m bench.alerting` is `make simulate`.
"""
