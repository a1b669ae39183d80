"""The `kata` command: one module per group of commands."""
