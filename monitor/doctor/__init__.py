"""Examines a database layer by layer, and puts a wrong value of the worker right.

Others import `Examiner` from `examine`, `ConsoleKey` from `console`, `Railway` and `RailwayAccess` from `railway`,
`plan_fix` from `fix_plan` and `apply_fix` from `fix`.
"""
