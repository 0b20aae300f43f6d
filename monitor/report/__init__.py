"""The history as people read it: `overview` reads it, `report` is what a report holds, `values` and
`formatting` are its figures as JSON, CSV and text, `claim` and `phases` what they mean.
"""
