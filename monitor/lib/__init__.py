"""Small things that know nothing of databases: times, text, secrets, threads, signals, files, bounded HTTP."""
