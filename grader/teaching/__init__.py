"""For the teacher: submissions of a class, rules for points, clusters, and repositories
to hand out.
"""
