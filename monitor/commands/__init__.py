"""One file per word on the command line. Parts are made in `wiring`, work is done in `flow`."""
