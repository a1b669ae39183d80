"""Runs specs against code in isolated worker processes, and caches the results."""
