"""Wrong solutions of tinytorch/08 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

STEP = """    optimizer.zero_grad()
    loss = loss_fn(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()"""
RESTORE = """    finally:
        for module, mode in modes:
            module.training = mode"""
WEIGHTED = """            total += loss_fn(model(x), y).item() * len(y)
            count += len(y)"""
GROUP_LOOP = """    optimizer.zero_grad()
    for x, y in batches:
"""
SHARE = "loss_fn(model(x), y) * (len(y) / samples)"
EPOCH_START = """    for epoch in range(epochs):
        model.train()
"""
EPOCH_SUM = """\
            total += train_group(model, loss_fn, optimizer, group) * samples
            count += samples"""
EPOCH = """        model.train()
        total, count = 0.0, 0
        for group in _groups(data, accumulation_steps):
            samples = sum(len(y) for _, y in group)
            total += train_group(model, loss_fn, optimizer, group) * samples
            count += samples
        if count == 0:
            raise ValueError("there is no data to train on")
        history["train_loss"].append(total / count)
"""
VALIDATION = """        if val_data is not None:
            history["val_loss"].append(evaluate(model, loss_fn, val_data))
"""

MISTAKES = [
    # train_step
    Mistake(
        "gradients cleared between backward and step",
        was=STEP,
        now="    loss = loss_fn(model(x), y)\n    loss.backward()\n"
        "    optimizer.zero_grad()\n    optimizer.step()\n"
        "    return loss.item()",
        caught_by="test_five_steps_equal_those_of_pytorch",
        says="looks like unchanged: no update was made",
    ),
    Mistake(
        "gradients never cleared",
        was=STEP,
        now=STEP.replace("    optimizer.zero_grad()\n", ""),
        caught_by="TestTrainStep::test_an_old_gradient_has_no_part_in_it",
        says="looks like the old gradient was not cleared",
    ),
    Mistake(
        "gradients cleared after the step",
        was=STEP,
        now=STEP.replace("    return", "    optimizer.zero_grad()\n    return"),
        caught_by="test_the_gradients_can_be_read_afterwards",
        says="after the step a grad is None",
    ),
    Mistake(
        "the loss after the update",
        was=STEP,
        now=STEP.replace("return loss.item()", "return loss_fn(model(x), y).item()"),
        caught_by="test_returns_the_loss_before_the_update",
        says="looks like the loss after the update",
    ),
    # evaluating
    Mistake(
        "evaluation with a graph",
        was="        with no_grad():\n            yield",
        now="        if model:\n            yield",
        caught_by="test_eval_mode_and_no_graph_inside",
        says="looks like eval mode without no_grad",
    ),
    Mistake(
        "train mode afterwards, whatever it was",
        was="            module.training = mode",
        now="            module.training = True",
        caught_by="test_the_mode_from_before_returns",
        says="looks like train mode afterwards, whatever it was",
    ),
    Mistake(
        "the model's mode for every module inside",
        was="[(module, module.training) for",
        now="[(module, model.training) for",
        caught_by="test_mixed_modes_return_one_by_one",
        says="looks like the model's mode for every module",
        edge=True,
    ),
    Mistake(
        "nothing is restored after an exception",
        was=RESTORE,
        now=RESTORE.replace(
            "    finally:", "    except GeneratorExit:\n        pass\n    else:"
        ),
        caught_by="test_all_returns_after_an_exception",
        says="training, after the exception",
        edge=True,
    ),
    # evaluate
    Mistake(
        "the mean of the batch means",
        was=WEIGHTED,
        now=WEIGHTED.replace(" * len(y)", "").replace("len(y)", "1"),
        caught_by="test_batches_count_by_their_samples",
        says="looks like the mean of the batch means",
    ),
    Mistake(
        "eval mode without no_grad",
        was="    with evaluating(model):\n        for x, y in data",
        now="    if model.eval():\n        for x, y in data",
        caught_by="test_runs_in_eval_mode_without_a_graph_and_changes_nothing",
        says="looks like eval mode without no_grad",
    ),
    # train_group
    Mistake(
        "accumulation without dividing",
        was=SHARE,
        now="loss_fn(model(x), y)",
        caught_by="test_equals_one_update_on_the_batches_joined",
        says="means every value is 2 times the expected one",
    ),
    Mistake(
        "an update per batch",
        was="        total += loss.item()\n    optimizer.step()",
        now="        total += loss.item()\n        optimizer.step()",
        caught_by="test_one_update_for_all_batches",
        says="looks like a step after each batch",
    ),
    Mistake(
        "cleared between the batches of a group",
        was=GROUP_LOOP,
        now="    for x, y in batches:\n        optimizer.zero_grad()\n",
        caught_by="test_equals_one_update_on_the_batches_joined",
        says="looks like the last batch alone, by its share",
    ),
    Mistake(
        "a sum of Tensors",
        was="        total += loss.item()\n",
        now="        total += loss\n",
        caught_by="test_returns_the_mean_loss_before_the_update",
        says="expected a Python float",
    ),
    Mistake(
        "an equal share per batch",
        was=SHARE,
        now="loss_fn(model(x), y) * (1 / len(batches))",
        caught_by="test_batches_of_different_lengths_count_by_their_samples",
        says="looks like an equal share for each batch",
        edge=True,
    ),
    # train
    Mistake(
        "train mode before the first epoch alone",
        was=EPOCH_START,
        now="    model.train()\n    for epoch in range(epochs):\n",
        caught_by="test_each_epoch_starts_in_train_mode",
        says=(
            "looks like train mode before the first epoch alone, or train mode is "
            "never set"
        ),
    ),
    Mistake(
        "the last group is dropped",
        was="    if group:\n        yield group",
        now="",
        caught_by="test_a_last_group_with_fewer_batches_counts_too",
        says="looks like the fifth batch is left out",
    ),
    Mistake(
        "train_loss as the mean of the batch means",
        was=EPOCH_SUM,
        now=EPOCH_SUM.replace(" * samples", "").replace("+= samples", "+= 1"),
        caught_by="test_train_loss_is_the_mean_per_sample",
        says="looks like the mean of the batch means",
    ),
    Mistake(
        "validation before the epoch",
        was=EPOCH + VALIDATION,
        now=VALIDATION + EPOCH,
        caught_by="test_val_loss_is_that_after_the_epochs_updates",
        says="looks like validated before the epoch's updates",
    ),
    Mistake(
        "anything false stops",
        was="on_epoch(epoch, history) is False",
        now="not on_epoch(epoch, history)",
        caught_by="test_on_epoch_hears_of_each_epoch_and_false_stops",
        says="calls: epoch, and entries of train_loss",
    ),
    Mistake(
        "an iterator trains for one epoch",
        was="    if iter(data) is data:",
        now="    if data is None:",
        caught_by="test_an_iterator_is_refused",
        says="raised nothing",
        edge=True,
    ),
    # training_memory
    Mistake(
        "the last output alone",
        was="            activations += x.nbytes",
        now="            activations = x.nbytes",
        caught_by="test_parameters_gradients_and_activations",
        says="looks like activations: the last layer's output alone",
    ),
    # train_xor
    Mistake(
        "the loss from before the last update",
        was="    loss = evaluate(model, mse_loss, [(x, y)])",
        now="    loss = losses[-1]",
        caught_by="test_loss_and_accuracy_are_those_of_the_trained_model",
        says="looks like the last of the losses, from before the last update",
    ),
    Mistake(
        "accuracy at a threshold of 0",
        was="(model(x).data > 0.5)",
        now="(model(x).data > 0)",
        caught_by="test_loss_and_accuracy_are_those_of_the_trained_model",
        says="looks like compared with 0, not with 0.5",
    ),
    Mistake(
        "every answer is 0.5: perhaps no activation between the layers",
        was="Tanh(), Linear(hidden, 1, rng=rng)",
        now="Linear(hidden, 1, rng=rng)",
        caught_by="test_learns_xor",
        says="the loss is 0.25, no better than the best line's 0.25",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="right = (predictions.data > 0.5) == (XOR_Y > 0.5)",
        now="right = (predictions.data > 0.5) == (XOR_Y >= 0.5)",
        reason="the targets are 0 and 1",
        textbook=True,
    ),
    Equivalent(
        was="right = (predictions.data > 0.5) == (XOR_Y > 0.5)",
        now="right = (predictions.data >= 0.5) == (XOR_Y > 0.5)",
        reason="no prediction of a trained model is 0.5 to the last bit",
        textbook=True,
    ),
]
