"""Wrong solutions of papers/26 that its specs must catch."""

from grader.course.mistakes import Mistake

SOFTMAX = "return -log_p[rows, y].mean(), gradient / len(y)"
SHIFTED = "shifted = scores - scores.amax(dim=1, keepdim=True)"
SVM = "return terms.sum() / len(y), gradient / len(y)"
COUNTED = "gradient[rows, y] = -gradient.sum(dim=1)"
SLOPE = "slopes[i] = (above - float(f(point))) / (2 * eps)"
BELOW = "        entries[i] = value - eps\n"
PENALTY = "value = value + reg / 2 * (self.W1.square().sum() + self.W2.square().sum())"
BACK = "d_hidden = (d_scores @ self.W2.T) * (hidden > 0)"
WINDOWS = 'out = torch.einsum("bchwij,ocij->bohw", windows, weight)'
POOLED = "return self.output(self.conv(x).relu().amax(dim=(2, 3)))"
SCORE = "scores.gather(1, y[:, None]).sum()"
GRADIENT = f"(gradient,) = torch.autograd.grad({SCORE}, image)"

MISTAKES = [
    Mistake(
        "gradient of the cross-entropy not divided by N",
        was=SOFTMAX,
        now=SOFTMAX.replace("gradient / len(y)", "gradient"),
        caught_by="TestSoftmaxLoss::test_the_gradient_is_that_of_autograd",
        says="looks like the gradient of the sum: not divided by N",
    ),
    Mistake(
        "nothing subtracted at the right class",
        was="    gradient[rows, y] -= 1\n",
        now="",
        caught_by="TestSoftmaxLoss::test_the_gradient_is_that_of_autograd",
        says="looks like the probabilities alone",
    ),
    Mistake(
        "1 subtracted in every row for each class in y",
        was="gradient[rows, y] -= 1",
        now="gradient[:, y] -= 1",
        caught_by="TestSoftmaxLoss::test_the_gradient_is_that_of_autograd",
        says="looks like 1 subtracted in every row",
    ),
    Mistake(
        "-1 for the right class, however many margins are violated",
        was=COUNTED,
        now="gradient[rows, y] -= 1",
        caught_by="TestSvmLoss::test_the_gradient_counts_violated_margins",
        says="looks like −1 for the right class",
    ),
    Mistake(
        "a margin for the right class",
        was=SVM,
        now="return terms.sum() / len(y) + margin, gradient / len(y)",
        caught_by="TestSvmLoss::test_one_sample_by_hand",
        says="looks like the right class counted",
    ),
    Mistake(
        "margin 1 whatever was asked for",
        was="terms = (scores - scores[rows, y][:, None] + margin).clamp(min=0)",
        now="terms = (scores - scores[rows, y][:, None] + 1).clamp(min=0)",
        caught_by=(
            "TestSvmLoss::test_the_loss_is_the_mean_over_samples_of_the_sum_of_terms"
        ),
        says="looks like margin 1, whatever was asked for",
    ),
    Mistake(
        "NumPy: the right class counted",
        was="return float(terms.sum() / len(y))",
        now="return float(terms.sum() / len(y)) + margin",
        caught_by="TestSvmLossNumpy::test_agrees_with_a_loop_over_terms",
        says="looks like the right class counted",
    ),
    Mistake(
        "neighbours in the first coordinate",
        was="distances = ((x[:, None] - train_x) ** 2).sum(axis=2)",
        now="distances = np.abs(x[:, None, 0] - train_x[:, 0])",
        caught_by="test_agrees_with_a_loop_over_points",
        says="looks like nearest in the first coordinate",
    ),
    Mistake(
        "the last class on a tie",
        was="return counts.argmax(axis=1)",
        now="return counts.shape[1] - 1 - counts[:, ::-1].argmax(axis=1)",
        caught_by="test_the_most_frequent_class_wins_and_the_smaller_on_a_tie",
        says="looks like the class of the nearest point, or the last class on a tie",
    ),
    Mistake(
        "the mean of the labels",
        was="return counts.argmax(axis=1)",
        now="return votes.mean(axis=1).round().astype(int)",
        caught_by="test_agrees_with_a_loop_over_points",
        says="looks like the mean of the labels",
    ),
    Mistake(
        "forward difference",
        was=f"{BELOW}        {SLOPE}",
        now=(
            "        entries[i] = value\n"
            "        slopes[i] = (above - float(f(point))) / eps"
        ),
        caught_by="test_central_differences_of_a_cubic",
        says="looks like a forward difference",
    ),
    Mistake(
        "divided by eps alone",
        was=SLOPE,
        now=SLOPE.replace("(2 * eps)", "eps"),
        caught_by="test_central_differences_of_a_cubic",
        says="looks like divided by eps alone",
    ),
    Mistake(
        "weights at the scale of fan_out",
        was="torch.randn(input_size, hidden_size) * (2 / input_size) ** 0.5",
        now="torch.randn(input_size, hidden_size) * (2 / hidden_size) ** 0.5",
        caught_by="test_weights_have_the_scale_of_he",
        says="expected 0.200 = sqrt(2 / 50)",
    ),
    Mistake(
        "penalty without the half",
        was=PENALTY,
        now=PENALTY.replace("reg / 2", "reg"),
        caught_by="test_the_penalty_is_half_reg_times_the_squared_weights",
        says="looks like reg times the squared weights, without the half",
    ),
    Mistake(
        "relu forgotten on the way back",
        was=BACK,
        now=BACK.replace("hidden > 0", "hidden >= 0"),
        caught_by=(
            "TestTwoLayerNetLossAndGradients::"
            "test_the_gradients_are_those_of_autograd[softmax-0.0]"
        ),
        says="looks like the relu forgotten on the way back",
    ),
    Mistake(
        "penalty on the biases",
        was='"b2": d_scores.sum(dim=0)',
        now='"b2": d_scores.sum(dim=0) + reg * self.b2',
        caught_by=(
            "TestTwoLayerNetLossAndGradients::"
            "test_the_gradients_are_those_of_autograd[svm-0.3]"
        ),
        says="looks like reg · b in the gradients of the biases",
    ),
    Mistake(
        "kernel flipped",
        was=WINDOWS,
        now=WINDOWS.replace("weight)", "weight.flip(2, 3))"),
        caught_by="test_a_row_by_hand",
        says="looks like the kernel flipped",
    ),
    Mistake(
        "max pool: the gradient shared by the window",
        was="torch.zeros_like(windows).scatter(-1, winner, upstream[..., None])",
        now="(upstream[..., None] / size**2).expand(windows.shape)",
        caught_by="TestMaxPool2d::test_the_largest_value_gets_the_gradient",
        says="looks like the gradient shared evenly, as a mean would",
    ),
    Mistake(
        "mean over positions",
        was=POOLED,
        now=POOLED.replace("amax", "mean"),
        caught_by="test_scores_come_from_the_strongest_response_of_each_channel",
        says="looks like the mean over positions",
    ),
    Mistake(
        "gradient of the loss as saliency",
        was=GRADIENT,
        now=GRADIENT.replace(SCORE, "F.cross_entropy(scores, y)"),
        caught_by="test_it_is_the_gradient_of_the_score_image_by_image",
        says="looks like the gradient of the mean loss",
    ),
    Mistake(
        "no absolute value",
        was="return gradient.abs().amax(dim=1)",
        now="return gradient.amax(dim=1)",
        caught_by="test_of_a_linear_model_it_is_the_weights",
        says="looks like no absolute value",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="TestTrainClassifier::test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    # edges
    Mistake(
        "no maximum subtracted",
        was=SHIFTED,
        now="shifted = scores",
        caught_by="test_scores_of_a_thousand_stay_finite",
        says="of loss differs got nan, expected 1000.43",
        edge=True,
    ),
    Mistake(
        "x not restored exactly",
        was="        entries[i] = value - eps\n"
        + f"        {SLOPE}\n        entries[i] = value\n",
        now=(
            f"        entries[i] -= 2 * eps\n        {SLOPE}\n"
            "        entries[i] += eps\n    x.copy_(point)\n"
        ),
        caught_by="TestNumericalGradient::test_x_is_left_as_it_was",
        says="x after the call, which must not write to it",
        edge=True,
    ),
    Mistake(
        "backward() into the parameters' .grad",
        was=GRADIENT,
        now=f"{SCORE}.backward()\n        gradient = image.grad",
        caught_by="test_nothing_is_left_behind",
        says=".grad was changed",
        edge=True,
    ),
]
