"""The verbs, in the order in which they happen. What to do is decided in `core`, done by the hands below."""
