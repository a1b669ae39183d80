"""Wrong solutions of 10 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

HIDDEN = "layers += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout)]"
LAST = "layers.append(nn.Linear(width, num_classes))"
STACK = "self.layers = nn.Sequential(*layers)"
FORWARD = "return self.layers(x).log_softmax(dim=1)"
TRAIN_MODE = "    model.train()\n    total_loss"
TRAIN_MOVE = """        inputs, labels = inputs.to(device), labels.to(device)
        outputs = model(inputs)
        loss = loss_fn(outputs, labels)"""
ZERO = "        optimizer.zero_grad()\n"
TRAIN_NUMBERS = """        total_loss += loss.item() * len(labels)
        correct += (outputs.argmax(dim=1) == labels).sum().item()
        count += len(labels)
    if count == 0:
        raise ValueError("the loader gave no batch to train on")
    return total_loss / count, correct / count"""
EVALUATING = """    with _evaluating(model):
        for inputs, labels in loader:"""
BETTER = "if loss < self.best_loss - self.min_delta:"
COPY = """self.best_state = {
                name: value.clone() for name, value in model.state_dict().items()
            }"""
STOP = "return self.bad_epochs >= self.patience"
ORDER = "order = confidence[wrong].argsort(descending=True, stable=True)"
STOPPING = """\
        if early_stopping is not None and early_stopping.step(val_loss, model):
            break
"""
RESTORING = """\
    if early_stopping is not None and early_stopping.best_state is not None:
        early_stopping.restore(model)
"""
NETWORKS = """    for hidden_dims in hidden_configs:
        torch.manual_seed(seed)
"""
LOADER = """DataLoader(
            TensorDataset(images, labels), batch_size, shuffle=True, generator=shuffled
        )"""
SIZES = (
    'sizes = [int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4)]'
)
TOO_FEW = "    if there < wanted:\n"

MISTAKES = [
    Mistake(
        "hidden layers in a plain list",
        was=STACK,
        now=(
            "self.layers = lambda x, layers=layers: [x := layer(x) for layer in "
            "layers][-1]"
        ),
        caught_by="test_linear_layers_lead_from_size_to_size",
        says="looks like no linear layer is registered",
    ),
    Mistake(
        "no ReLU",
        was=HIDDEN,
        now=HIDDEN.replace("nn.ReLU(), ", ""),
        caught_by="test_outputs_equal_a_loop_written_by_hand",
        says="looks like no ReLU",
    ),
    Mistake(
        "logits: NLL is trusted to do the softmax",
        was=FORWARD,
        now="return self.layers(x)",
        caught_by="test_outputs_equal_a_loop_written_by_hand",
        says="looks like scores as the last layer gives them: log-softmax is missing",
    ),
    Mistake(
        "log-softmax over the batch",
        was=FORWARD,
        now="return self.layers(x).log_softmax(dim=0)",
        caught_by="test_outputs_equal_a_loop_written_by_hand",
        says="looks like log-softmax over the examples of the batch",
    ),
    Mistake(
        "softmax, then log",
        was=FORWARD,
        now="return self.layers(x).softmax(dim=1).log()",
        caught_by="test_large_inputs_stay_finite",
        says="first at [0, 0]: -inf",
        edge=True,
    ),
    Mistake(
        "dropout on the scores",
        was=LAST,
        now="layers += [nn.Linear(width, num_classes), nn.Dropout(dropout)]",
        caught_by="test_dropout_silences_hidden_values_in_training",
        says="looks like dropout on the scores",
    ),
    Mistake(
        "the mean of the batch means",
        was=TRAIN_NUMBERS,
        now=TRAIN_NUMBERS.replace(" * len(labels)", "").replace(
            "total_loss / count", "total_loss / len(loader)"
        ),
        caught_by="test_every_example_counts_alike",
        says="looks like the mean of the batch means",
    ),
    Mistake(
        "gradients never cleared",
        was=ZERO,
        now="",
        caught_by="test_weights_equal_those_of_a_loop_written_by_hand",
        says="looks like gradients that are not cleared",
    ),
    Mistake(
        "mode left alone",
        was=TRAIN_MODE,
        now="    total_loss",
        caught_by="test_a_model_in_eval_mode_trains_in_training_mode",
        says="looks like `model.train()` is missing",
    ),
    Mistake(
        "moved, and the result thrown away",
        was=TRAIN_MOVE,
        now=TRAIN_MOVE.replace("inputs, labels = inputs", "inputs"),
        caught_by="TestTrainEpoch::test_batches_are_moved_to_the_models_device",
        says="was not moved to the device",
        edge=True,
    ),
    Mistake(
        "evaluated in training mode, without a graph",
        was=EVALUATING,
        now=EVALUATING.replace("_evaluating(model)", "torch.no_grad()"),
        caught_by="test_the_model_is_in_eval_mode",
        says="looks like `model.eval()` is missing",
    ),
    Mistake(
        "the state itself, not a copy",
        was=COPY,
        now="self.best_state = model.state_dict()",
        caught_by="test_the_state_of_the_best_epoch_is_kept",
        says="looks like the last epoch's: the state is no copy, and was trained on",
    ),
    Mistake(
        "one epoch too late",
        was=STOP,
        now="return self.bad_epochs > self.patience",
        caught_by="TestEarlyStoppingStep::test_stops_when_patience_has_run_out",
        says="looks like one epoch too late",
    ),
    Mistake(
        "measured against the epoch before",
        was="            self.bad_epochs += 1\n",
        now="            self.bad_epochs += 1\n            self.best_loss = loss\n",
        caught_by="test_measures_against_the_best_loss",
        says="looks like measured against the epoch before",
    ),
    Mistake(
        "an equal loss is an improvement",
        was=BETTER,
        now="if loss <= self.best_loss - self.min_delta:",
        caught_by="test_an_equal_loss_is_no_improvement",
        says="looks like an equal loss is taken for an improvement",
    ),
    Mistake(
        "NaN is an improvement",
        was=BETTER,
        now="if not loss >= self.best_loss - self.min_delta:",
        caught_by="test_nan_is_never_an_improvement",
        says="looks like NaN is taken for an improvement",
        edge=True,
    ),
    Mistake(
        "the least sure first",
        was=ORDER,
        now="order = confidence[wrong].argsort(stable=True)",
        caught_by="test_the_most_confident_mistakes_come_first",
        says="looks like the least sure first",
    ),
    Mistake(
        "confidence of the true class",
        was='"confidence": confidence[index]',
        now='"confidence": log_probabilities[index, labels[index]].exp()',
        caught_by="test_the_most_confident_mistakes_come_first",
        says="looks like the probability of the true class",
    ),
    Mistake(
        "the last weights are kept",
        was=RESTORING,
        now="",
        caught_by="test_the_best_weights_are_back_after_a_stop",
        says="looks like the weights of the last epoch",
    ),
    Mistake(
        "restored only after a stop",
        was=STOPPING + RESTORING,
        now=STOPPING.replace(
            "break", "early_stopping.restore(model)\n            break"
        ),
        caught_by="test_the_best_weights_are_back_without_a_stop",
        says="looks like the weights of the last epoch",
    ),
    Mistake(
        "not seeded anew for each config",
        was=NETWORKS,
        now="".join(reversed(NETWORKS.splitlines(keepends=True))).replace(
            "        torch", "    torch"
        ),
        caught_by="test_a_result_does_not_depend_on_its_place",
        says="untrained (lr=0), with the configs in the other order",
    ),
    Mistake(
        "the shuffling is not seeded anew for each network",
        was=LOADER,
        now=LOADER.replace(", generator=shuffled", ""),
        caught_by="test_all_networks_meet_the_same_batches",
        says="the second network met other batches",
    ),
    Mistake(
        "little-endian sizes",
        was=SIZES,
        now=SIZES.replace("big", "little"),
        caught_by="test_pictures_come_back",
        says="[738263040, 50331648, 33554432] elements",
    ),
    Mistake(
        "a header of 16 bytes",
        was="start = 4 + 4 * dims",
        now="start = 16",
        caught_by="test_labels_come_back",
        says="[300, 50333696, 134350601] elements",
    ),
    Mistake(
        "the number of elements is not compared",
        was=TOO_FEW,
        now="    if False:\n",
        caught_by="test_a_truncated_payload_is_an_error",
        says="should mention",
        edge=True,
    ),
]

MODEL = (
    "model = FashionMNISTModel(images[0].numel(), hidden_dims, int(labels.max()) + 1)"
)

EQUIVALENT = [
    Equivalent(
        was="if count == 0:", now="if count <= 0:", reason="a count is never negative"
    ),
    Equivalent(
        was="if seen == 0:", now="if seen <= 0:", reason="a count is never negative"
    ),
    Equivalent(
        was="if dims == 0:", now="if dims <= 0:", reason="a byte is never negative"
    ),
    *(
        Equivalent(
            was=MODEL,
            now=MODEL.replace("[0]", other),
            reason="all images are of one size",
        )
        for other in ("[1]", "[-1]")
    ),
    Equivalent(
        was=MODEL,
        now=MODEL.replace("int(labels.max())", "labels.max()"),
        reason="nn.Linear takes a 0-dim tensor for a size",
    ),
    *(
        Equivalent(
            was="if len(data) < 4:",
            now=now,
            reason="four bytes alone are no file: another error says so",
        )
        for now in ("if len(data) <= 4:", "if len(data) < 5:")
    ),
    Equivalent(
        was=(
            'raise ValueError( f"{path}: truncated header, {dims} sizes need {start} '
            'bytes and there are " f"{len(data)}" )'
        ),
        now="pass",
        reason=(
            "sizes that are cut off make the payload too short as well, and the "
            "message says that it is truncated"
        ),
    ),
    Equivalent(
        was="images[0].numel(), hidden_dims, labels.max().item() + 1",
        now="images[1].numel(), hidden_dims, labels.max().item() + 1",
        reason="all images have one size",
        textbook=True,
    ),
    Equivalent(
        was="images[0].numel(), hidden_dims, labels.max().item() + 1",
        now="images[-1].numel(), hidden_dims, labels.max().item() + 1",
        reason="all images have one size",
        textbook=True,
    ),
    Equivalent(
        was=(
            'shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in '
            "range(ndim)]"
        ),
        now=(
            'shape = [int.from_bytes(data[5 + 4 * i : 8 + 4 * i], "big") for i in '
            "range(ndim)]"
        ),
        reason="a size with a fourth byte needs a file of 16 MB",
        textbook=True,
    ),
]
