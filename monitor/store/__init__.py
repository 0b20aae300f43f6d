"""Hands that reach the SQLite file. No rule and no network lives in this folder."""
