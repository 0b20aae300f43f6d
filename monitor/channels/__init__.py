"""Hands that reach people. What is said is composed in `core.notice`; this folder adds no facts."""
