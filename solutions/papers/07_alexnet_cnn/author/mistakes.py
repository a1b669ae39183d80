"""Wrong solutions of papers/07 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

PATCH = 'np.einsum("bcuv,ocuv->bo", window, w)'
TOTAL = "total = sum(padded[:, start : start + x.shape[1]] for start in range(size))"
DRAW = "places = torch.randint(2 * pad + 1, (len(x), 2), generator=generator).tolist()"
AVERAGE = """views = [
                F.softmax(model(padded[:, :, i : i + H, j : j + W]), dim=1)
                for i, j in places
            ]
    finally:
        model.train(mode)
    return torch.stack(views).mean(dim=0)"""
BATCH = "images = random_shift(x[rows], shift, generator) if shift > 0 else x[rows]"

MISTAKES = [
    Mistake(
        "the kernel flipped",
        was=PATCH,
        now=PATCH.replace(", w)", ", w[:, :, ::-1, ::-1])"),
        caught_by="test_every_window_gets_its_weighted_sum",
        says="looks like the kernel was flipped",
    ),
    Mistake(
        "padding on one side",
        was="(padding, padding), (padding, padding)))",
        now="(0, 2 * padding), (0, 2 * padding)))",
        caught_by="test_stride_and_padding_work_together",
        says="looks like all zeros on one side",
    ),
    Mistake(
        "the sum divided by the size, as PyTorch does",
        was=TOTAL,
        now=TOTAL + " / size",
        caught_by="test_channels_with_active_neighbours_shrink",
        says="looks like the sum divided by size",
    ),
    Mistake(
        "PyTorch's function as it is",
        was="return x / (k + alpha * total) ** beta",
        now="return F.local_response_norm(x, size, alpha, beta, k)",
        caught_by="test_equals_the_paper_on_7_channels",
        says="looks like the sum divided by size",
    ),
    Mistake(
        "a window over pixels",
        was=TOTAL,
        now="total = F.avg_pool2d(x**2, size, 1, size // 2, divisor_override=1)",
        caught_by="test_equals_the_paper_on_7_channels",
        says="looks like a window over pixels",
    ),
    Mistake(
        "not raised to beta",
        was="(k + alpha * total) ** beta",
        now="(k + alpha * total)",
        caught_by="test_equals_the_paper_on_7_channels",
        says="looks like not raised to beta",
    ),
    Mistake(
        "the window starts at the channel",
        was="(0, 0, 0, 0, size // 2, (size - 1) // 2)",
        now="(0, 0, 0, 0, 0, size - 1)",
        caught_by="TestLocalResponseNorm::test_any_odd_size_and_any_number_of_channels",
        says="looks like a window that starts at its own channel",
    ),
    Mistake(
        "one shift for the whole batch",
        was=DRAW,
        now=(
            "places = torch.randint(2 * pad + 1, (2,), "
            "generator=generator).expand(len(x), 2).tolist()"
        ),
        caught_by="test_images_move_independently",
        says="looks like one shift for the whole batch",
    ),
    Mistake(
        "pixels that leave come in again",
        was="""[
            image[:, i : i + H, j : j + W]
            for image, (i, j) in zip(padded,""",
        now="[image.roll((i - pad, j - pad), (1, 2)) for image, (i, j) in zip(x,",
        caught_by="test_pixels_move_and_zeros_fill_the_gap",
        says="were the pixels rolled around?",
    ),
    Mistake(
        "the largest move left out",
        was=DRAW,
        now=DRAW.replace("2 * pad + 1", "2 * pad"),
        caught_by="test_all_places_are_drawn_evenly",
        says=(
            "looks like the largest move is never drawn: the end that randint is "
            "given is not included"
        ),
    ),
    Mistake(
        "pooling windows that do not overlap",
        was="nn.MaxPool2d(3, stride=2)",
        now="nn.MaxPool2d(2, stride=2)",
        caught_by="test_the_feature_map_is_32_by_3_by_3",
        says="were the pooling windows 2 × 2",
    ),
    Mistake(
        "a softmax inside the net",
        was="return self.classifier(self.features(x).flatten(1))",
        now="return self.classifier(self.features(x).flatten(1)).softmax(dim=1)",
        caught_by="test_logits_are_those_of_the_layers_in_order",
        says="looks like a softmax at the end",
    ),
    Mistake(
        "PyTorch's own start values",
        was="nn.init.kaiming_normal_(module.weight)",
        now="pass",
        caught_by="test_weights_start_kaiming_normal",
        says="expected 0.471",
    ),
    Mistake(
        "the mean of the logits",
        was=AVERAGE,
        now="views = [model(padded[:, :, i : i + H, j : j + W]) for i, j in places]\n"
        "    finally:\n        model.train(mode)\n"
        "    return torch.stack(views).mean(dim=0).softmax(dim=1)",
        caught_by="test_equals_the_mean_over_the_five_views",
        says="looks like the softmax of the mean logits",
    ),
    Mistake(
        "five random views",
        was=(
            "places = [(0, 0), (0, 2 * pad), (2 * pad, 0), (2 * pad, 2 * pad), (pad, "
            "pad)]"
        ),
        now="places = torch.randint(2 * pad + 1, (5, 2)).tolist()",
        caught_by="test_equals_the_mean_over_the_five_views",
        says="of the chances of the same images in a second call",
    ),
    Mistake(
        "left in eval mode",
        was="    finally:\n        model.train(mode)",
        now="    finally:\n        pass",
        caught_by="TestPredictAveraged::test_the_model_is_left_as_it_was",
        says="of the modes of model and dropout",
        edge=True,
    ),
    Mistake(
        "all images shifted once, before training",
        was=(
            "    for _ in range(steps):\n"
            "        rows = torch.randint(len(x), (batch,), generator=generator)\n"
            "        "
        )
        + BATCH,
        now="""    x = random_shift(x, shift, generator)
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,), generator=generator)
        images = x[rows]""",
        caught_by="test_every_batch_is_shifted_anew",
        says="shift every batch anew",
    ),
    Mistake(
        "a softmax before the cross-entropy",
        was="F.cross_entropy(model(images), y[rows])",
        now="F.cross_entropy(model(images).softmax(dim=1), y[rows])",
        caught_by="TestTrainAlexnet::test_the_first_loss_is_that_of_the_fresh_model",
        says="looks like a softmax before the cross-entropy",
    ),
    Mistake(
        "gradients never cleared",
        was="        optimizer.zero_grad()\n",
        now="",
        caught_by="TestTrainAlexnet::test_every_step_is_that_of_the_optimizer",
        says="looks like gradients that were not cleared",
    ),
    Mistake(
        "gradients cleared after the step only",
        was=(
            "        optimizer.zero_grad()\n        loss.backward()\n"
            "        optimizer.step()\n"
        ),
        now=(
            "        loss.backward()\n        optimizer.step()\n"
            "        optimizer.zero_grad()\n"
        ),
        caught_by="TestTrainAlexnet::test_old_gradients_have_no_effect",
        says="of linear.weight after one step",
        edge=True,
    ),
]

EQUIVALENT = [
    Equivalent(
        was="padded = F.pad(x**2, (0, 0, 0, 0, size // 2, (size - 1) // 2))",
        now="padded = F.pad(x**2, (0, 0, 0, 0, size // 2, (size - 0) // 2))",
        reason="n is odd",
        textbook=True,
    ),
    Equivalent(
        was="if shift > 0:",
        now="if shift >= 0:",
        reason="a shift by 0 leaves the images as they are",
        textbook=True,
    ),
    Equivalent(
        was="if shift > 0:",
        now="if shift > -1:",
        reason="a shift by 0 leaves the images as they are",
        textbook=True,
    ),
]
