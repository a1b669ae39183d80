"""halve by multiplication: right code, written differently. It redefines some of the reference's names."""
# leaves open: test_other_types_are_refused


def halve(x):
    return 0.5 * x
