"""The pytest plugin that runs specs: comparisons, failure messages, and the hooks for code that is chosen elsewhere."""
