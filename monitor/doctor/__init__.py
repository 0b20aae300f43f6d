"""Examines a database layer by layer, and puts a wrong value right."""
