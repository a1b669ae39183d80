"""Loads the grader's pytest plugin; everything else lives in `grader/`."""

pytest_plugins = ["grader.plugin"]
