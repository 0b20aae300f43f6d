"""The command line: what may be typed, and what is printed."""
