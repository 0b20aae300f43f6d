"""The command line: `main` has the table of commands, each is a module with a `command`."""
