# Distances as CS231n has them: |a|² + |b|² − 2ab by one matrix product, which rounds
# where points are near each other.
# leaves open: test_a_point_has_distance_0_to_itself, test_accurate_far_from_the_origin,
# test_gradient_at_distance_0_is_finite, test_points_must_have_the_same_d,
# test_both_must_be_2_d


def pairwise_distances(a, b):
    squares = a.pow(2).sum(1)[:, None] + b.pow(2).sum(1)[None, :] - 2 * a @ b.T
    return squares.clamp(min=0).sqrt()
