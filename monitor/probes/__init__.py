"""Hands that reach the database. What an observation means is not decided in this folder."""
