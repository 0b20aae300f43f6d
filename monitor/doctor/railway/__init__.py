"""Railway as the doctor needs it: its API, the worker's variables, its deployments and logs."""
