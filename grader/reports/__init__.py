"""Renders results: one module per report format, each a pure function of results."""
