"""Wrong solutions of kata today/13: the slips that people make, each with the spec that catches it."""

from grader.course.mistakes import Mistake

MISTAKES = [
    Mistake(
        name="rounds down",
        was="return x / 2",  # these words of the reference, which has them once,
        now="return x // 2",  # become these
        caught_by="test_every_number_is_halved",  # this spec then fails,
        says="looks like rounded down",  # and its failure has these words
        # edge=True where that spec is an edge: a quarter of all mistakes may be
    ),
    Mistake(
        name="divides in place",
        was="return x / 2",
        now="return x.div_(2)",
        caught_by="test_the_input_is_left_alone",
        says="x after the call, which must not write to it",
    ),
]
