"""Isolation of code under test: rights and limits of a job, Landlock, seccomp,
namespaces, and servers that fork.
"""
