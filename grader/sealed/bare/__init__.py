"""What runs in the worker's process. It imports nothing of the grader, and no pytest."""
