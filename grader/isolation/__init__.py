"""Isolation of code under test: resource limits, Landlock, seccomp, and the tamper guard."""
