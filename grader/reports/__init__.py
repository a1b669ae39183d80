"""One renderer a report format, each a pure function of results."""
