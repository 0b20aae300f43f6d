"""What an outcome and a set of layers mean: whose move it is, and what to do next.

Message, page, JSON, `check` and doctor take their sentences from here. Others import `word`, `Advice` and
`WhoseMove` from `advice`; `Verdict`, `VerdictCode`, `Diagnosis` and `judge_outcome` from `verdicts`; `judge` and
`judge_check` from `rules`; what a layer is from `layers`, what is known of a database from `profile`.
"""
