"""For the learner: watching saves, hints, progress, reset and undo, checks
in notebooks.
"""
