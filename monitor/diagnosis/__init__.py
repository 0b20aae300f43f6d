"""What an outcome and a set of layers mean: whose move it is, and what to do next.

Message, page, JSON, `check` and doctor take their sentences from here. Others import `word`, `Advice` and
`WhoseMove` from `advice`; `judge` and `judge_check` from `rules`; what a verdict, a layer and a database's profile
are from `verdicts`.
"""
