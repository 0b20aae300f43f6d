"""Examines a database layer by layer, and puts a wrong value of the worker right.

Others import `Examiner` from `examine`, `ConsoleKey` from `console`, `Railway` and `RailwayAccess` from `railway`,
`plan_fix` from `worker_variables` and `apply_fix` from `fix`.
"""
