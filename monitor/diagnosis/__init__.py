"""What an outcome and a set of layers mean: whose move it is, and what to do next.

Message, page, JSON, `check` and doctor take their sentences from here. Others import `advise` and `WhoseMove` from
`advice`; `judge`, `Verdict`, `VerdictCode` and `Diagnosis` from `verdicts`; what a layer is from `layers`.
"""
