"""One module for each group of layers that the doctor examines."""
