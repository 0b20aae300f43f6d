"""Small things that know nothing of databases: durations, times, text, secrets, threads, bounded HTTP."""
