"""For the teacher: submissions of a class, weights, clusters, and repositories to hand out."""
