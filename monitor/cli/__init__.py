"""The command line: `main` has the table of commands, each is a module with a `command`."""

from time import monotonic, process_time

# About when the process started, on the monotonic clock: importing the rest takes seconds on a slow disk or a busy
# machine, and `check --within` counts them. What came before, the interpreter's own start, shows only as CPU time.
STARTED = monotonic() - process_time()
