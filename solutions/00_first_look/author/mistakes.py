"""Wrong solutions of 00 that its specs must catch."""

from grader.course.mistakes import Mistake

RETURNED = "return (scores.argmax(dim=1) == labels).float().mean().item()"
STEP = "return weight - learning_rate * gradient"
DRAW = "return int(torch.multinomial(probabilities, 1))"

MISTAKES = [
    # accuracy
    Mistake(
        "the number of right ones",
        was=".float().mean().item()",
        now=".sum().item()",
        caught_by="test_one_of_two_is_right",
        says="looks like the number of right ones: divide by how many there are",
    ),
    Mistake(
        "percent",
        was=RETURNED,
        now=RETURNED.replace(".item()", ".item() * 100"),
        caught_by="test_five_of_eight_are_right",
        says="looks like percent",
    ),
    Mistake(
        "the share that is wrong",
        was="== labels",
        now="!= labels",
        caught_by="test_five_of_eight_are_right",
        says="looks like the share that is read wrong",
    ),
    Mistake(
        "the largest score of each column",
        was="argmax(dim=1)",
        now="argmax(dim=0)",
        caught_by="test_one_of_two_is_right",
        says="The size of tensor a (3) must match the size of tensor b (2)",
    ),
    Mistake(
        "the largest score of all",
        was="argmax(dim=1)",
        now="argmax()",
        caught_by="test_five_of_eight_are_right",
        says="looks like the largest score of all rows together: argmax needs dim=1",
    ),
    Mistake(
        "the scores instead of their positions",
        was="scores.argmax(dim=1)",
        now="scores.max(dim=1).values",
        caught_by="test_five_of_eight_are_right",
        says=(
            "looks like the scores compared with the labels: argmax gives positions, "
            "max gives scores"
        ),
    ),
    Mistake(
        "the smallest score",
        was="argmax(dim=1)",
        now="argmin(dim=1)",
        caught_by="test_five_of_eight_are_right",
        says="looks like the smallest score of each row instead of the largest",
    ),
    Mistake(
        "only the first rows, as many as there are classes",
        was="(scores.argmax(dim=1) == labels)",
        now="(scores.argmax(dim=1) == labels)[: scores.size(1)]",
        caught_by="test_agrees_with_counting",
        says="expected 0.",
    ),
    Mistake(
        "True only if all are right",
        was=".float().mean().item()",
        now=".all().item()",
        caught_by="test_one_of_two_is_right",
        says="looks like all or nothing: True only if every one is right",
    ),
    Mistake(
        "the mean of True and False",
        was=".float().mean().item()",
        now=".mean().item()",
        caught_by="test_one_of_two_is_right",
        says="Input dtype must be either a floating point or complex dtype",
    ),
    Mistake(
        "a tensor given back",
        was=".mean().item()",
        now=".mean()",
        caught_by="test_the_share_is_a_python_number",
        says="got float32 tensor (), expected a Python number",
    ),
    Mistake(
        "no return",
        was=RETURNED,
        now="share = " + RETURNED.removeprefix("return "),
        caught_by="test_one_of_two_is_right",
        says="nothing was returned: `return` is missing in accuracy",
    ),
    # gradient_step
    Mistake(
        "along the gradient",
        was=STEP,
        now=STEP.replace("-", "+"),
        caught_by="test_one_step_against_the_gradient",
        says="looks like a step along the gradient, which makes the loss rise",
    ),
    Mistake(
        "no learning rate",
        was=STEP,
        now="return weight - gradient",
        caught_by="test_one_step_against_the_gradient",
        says="looks like a step without the learning rate",
    ),
    Mistake(
        "the step alone",
        was=STEP,
        now="return learning_rate * gradient",
        caught_by="test_one_step_against_the_gradient",
        says="looks like the step alone: where it leads is weight minus step",
    ),
    Mistake(
        "brackets around the wrong part",
        was=STEP,
        now="return (weight - learning_rate) * gradient",
        caught_by="test_one_step_against_the_gradient",
        says="looks like (weight − learning_rate) · gradient: the product comes first",
    ),
    Mistake(
        "the mean of the gradient for all weights",
        was=STEP,
        now="return weight - learning_rate * gradient.mean()",
        caught_by="test_one_step_against_the_gradient",
        says="looks like the mean of the gradient for every weight",
    ),
    Mistake(
        "no return",
        was=STEP,
        now="weight = weight - learning_rate * gradient",
        caught_by="test_one_step_against_the_gradient",
        says="nothing was returned: `return` is missing in gradient_step",
    ),
    # draw
    Mistake(
        "the likeliest position",
        was=DRAW,
        now="return int(probabilities.argmax())",
        caught_by="test_the_draws_differ",
        says="looks like the largest probability was taken",
    ),
    Mistake(
        "a seed in the function",
        was=DRAW,
        now="torch.manual_seed(0)\n    " + DRAW,
        caught_by="test_the_draws_differ",
        says="or a seed is set in `draw`",
    ),
    Mistake(
        "all positions equally likely",
        was=DRAW,
        now="return int(torch.randint(len(probabilities), (1,)))",
        caught_by="test_two_thousand_draws_show_the_probabilities",
        says="looks like all positions equally likely: the probabilities are not used",
    ),
    Mistake(
        "softmax of probabilities",
        was=DRAW,
        now="return int(torch.multinomial(probabilities.softmax(dim=0), 1))",
        caught_by="test_two_thousand_draws_show_the_probabilities",
        says="looks like softmax of the probabilities: they are shares already",
    ),
    Mistake(
        "counted from 1",
        was=DRAW,
        now="return int(torch.multinomial(probabilities, 1)) + 1",
        caught_by="test_what_is_sure_always_comes",
        says="looks like counted from 1",
    ),
    Mistake(
        "a list of one position",
        was=DRAW,
        now="return torch.multinomial(probabilities, 1).tolist()",
        caught_by="test_what_is_sure_always_comes",
        says="got [2], expected a position: one whole number",
    ),
    Mistake(
        "a tensor given back",
        was=DRAW,
        now="return torch.multinomial(probabilities, 1)",
        caught_by="test_the_position_is_a_python_int",
        says="got int64 tensor (1,), expected a Python int",
    ),
]
