"""When failing checks become an incident, and when it is over: pure rules, and the state that they advance.

Others import `advance`, `acknowledge` and `is_in_doubt` from `rules`, and the types of `state`.
"""
