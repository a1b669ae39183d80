"""Contents of the course: which katas exist, their descriptions, stubs, pages, hints,
notebooks and data sets.
"""
