"""The code that runs in the worker's process. It imports nothing of the grader, and no pytest."""
