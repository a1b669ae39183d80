"""Wrong solutions of 10 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

HIDDEN = "layers += [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(dropout)]"
FIRST = "layers: list[nn.Module] = [nn.Flatten()]"
LAST = "layers.append(nn.Linear(width, num_classes))"
STACK = "self.layers = nn.Sequential(*layers)"
FORWARD = "return self.layers(x).log_softmax(dim=1)"
TRAIN_MODE = "    model.train()\n    total_loss"
TRAIN_MOVE = """        inputs, labels = inputs.to(device), labels.to(device)
        outputs = model(inputs)
        loss = loss_fn(outputs, labels)"""
ZERO = "        optimizer.zero_grad()\n"
TRAIN_LOSS = "total_loss += loss.item() * len(labels)"
TRAIN_NUMBERS = """        total_loss += loss.item() * len(labels)
        correct += (outputs.argmax(dim=1) == labels).sum().item()
        count += len(labels)
    if count == 0:
        raise ValueError("the loader gave no batch to train on")
    return total_loss / count, correct / count"""
EVAL_NUMBERS = """            loss_sum += loss_fn(outputs, labels).item() * len(labels)
            right += (outputs.argmax(dim=1) == labels).sum().item()
            seen += len(labels)
    if seen == 0:
        raise ValueError("the loader gave no batch to evaluate")
    return loss_sum / seen, right / seen"""
TRAIN_RIGHT = "correct += (outputs.argmax(dim=1) == labels).sum().item()"
EVALUATING = """    with _evaluating(model):
        for inputs, labels in loader:"""
EVAL_MOVE = """            inputs, labels = inputs.to(device), labels.to(device)
            outputs = model(inputs)
            loss_sum"""
BETTER = "if loss < self.best_loss - self.min_delta:"
COPY = "self.best_state = {name: value.clone() for name, value in model.state_dict().items()}"
STOP = "return self.bad_epochs >= self.patience"
RESTORE = "        model.load_state_dict(self.best_state)"
ANSWERS = "log_probabilities = torch.cat([model(batch) for batch in images.split(batch_size)])"
SEARCHING = "    with _evaluating(model):\n        log_probabilities"
CONFIDENCE = "confidence, predicted = log_probabilities.exp().max(dim=1)"
ORDER = "order = confidence[wrong].argsort(descending=True, stable=True)"
CUT = "index = wrong[order][:k]"
STOPPING = """        if early_stopping is not None and early_stopping.step(val_loss, model):
            break
"""
RESTORING = """    if early_stopping is not None and early_stopping.best_state is not None:
        early_stopping.restore(model)
"""
NETWORKS = """    for hidden_dims in hidden_configs:
        torch.manual_seed(seed)
"""
SHUFFLED = "shuffled = torch.Generator().manual_seed(seed)"
LOADER = "DataLoader(TensorDataset(images, labels), batch_size, shuffle=True, generator=shuffled)"
PACKED = 'if data[:2] == b"\\x1f\\x8b":'
UNPACK = """        try:
            data = gzip.decompress(data)
        except EOFError:
            raise ValueError(f"{path}: truncated gzip stream") from None
"""
SIZES = 'sizes = [int.from_bytes(data[at : at + 4], "big") for at in range(4, start, 4)]'
ELEMENTS = "elements = np.frombuffer(data, dtype=np.uint8, offset=start).copy()"
TOO_FEW = "    if there < wanted:\n"

MISTAKES = [
    # FashionMNISTModel
    Mistake(
        "hidden layers in a plain list",
        was=STACK,
        now="self.layers = lambda x, layers=layers: [x := layer(x) for layer in layers][-1]",
        caught_by="test_linear_layers_lead_from_size_to_size",
    ),
    Mistake(
        "layers registered in the order of writing, the last one first",
        was=FIRST,
        now="self.last = nn.Linear([input_dim, *hidden_dims][-1], num_classes)\n        " + FIRST,
        caught_by="test_linear_layers_lead_from_size_to_size",
    ),
    Mistake(
        "the input is not flattened",
        was=FIRST,
        now="layers: list[nn.Module] = []",
        caught_by="test_one_row_of_scores_for_each_example",
    ),
    Mistake(
        "flattened by view",
        was="return self.layers(x)",
        now="return self.layers(x.view(x.shape[0], -1))",
        caught_by="TestFashionMNISTModel::test_works_on_a_transposed_view",
    ),
    Mistake(
        "no ReLU",
        was=HIDDEN,
        now=HIDDEN.replace("nn.ReLU(), ", ""),
        caught_by="test_outputs_equal_a_loop_written_by_hand",
    ),
    Mistake(
        "ReLU on the scores",
        was=LAST,
        now="layers += [nn.Linear(width, num_classes), nn.ReLU()]",
        caught_by="test_outputs_equal_a_loop_written_by_hand",
    ),
    Mistake(
        "logits: NLL is trusted to do the softmax",
        was=FORWARD,
        now="return self.layers(x)",
        caught_by="test_outputs_equal_a_loop_written_by_hand",
    ),
    Mistake(
        "probabilities",
        was=FORWARD,
        now="return self.layers(x).softmax(dim=1)",
        caught_by="test_probabilities_of_an_example_sum_to_one",
    ),
    Mistake(
        "softmax, then log",
        was=FORWARD,
        now="return self.layers(x).softmax(dim=1).log()",
        caught_by="test_large_inputs_stay_finite",
    ),
    Mistake(
        "log-softmax over the batch",
        was=FORWARD,
        now="return self.layers(x).log_softmax(dim=0)",
        caught_by="test_probabilities_of_an_example_sum_to_one",
    ),
    Mistake(
        "dropout after the last hidden layer only",
        was=HIDDEN,
        now="layers += [nn.Linear(width, hidden), nn.ReLU(), *[nn.Dropout(dropout)] * (hidden is hidden_dims[-1] and "
        "len(layers) > 2)]",
        caught_by="test_dropout_follows_every_hidden_layer",
    ),
    Mistake(
        "dropout on the input",
        was=FIRST,
        now="layers: list[nn.Module] = [nn.Flatten(), nn.Dropout(dropout)]",
        caught_by="test_without_hidden_layers_nothing_is_dropped",
    ),
    Mistake(
        "dropout on the scores",
        was=LAST,
        now="layers += [nn.Linear(width, num_classes), nn.Dropout(dropout)]",
        caught_by="test_dropout_silences_hidden_values_in_training",
    ),
    Mistake(
        "dropout always on",
        was="return self.layers(x)",
        now="for layer in self.layers:\n"
        "            x = nn.functional.dropout(x, layer.p) if isinstance(layer, nn.Dropout) else layer(x)\n"
        "        return x",
        caught_by="test_dropout_rests_in_eval_mode",
    ),
    Mistake(
        "a tensor made on the CPU on the way",
        was="return self.layers(x)",
        now="return self.layers(x * torch.ones(x.shape[0], *[1] * (x.ndim - 1)))",
        caught_by="TestFashionMNISTModel::test_stays_on_the_device_of_its_input",
    ),
    # train_epoch
    Mistake(
        "the mean of the batch means",
        was=TRAIN_NUMBERS,
        now=TRAIN_NUMBERS.replace(" * len(labels)", "").replace("total_loss / count", "total_loss / len(loader)"),
        caught_by="test_every_example_counts_alike",
    ),
    Mistake(
        "batch losses added up and divided by the number of examples",
        was=TRAIN_LOSS,
        now="total_loss += loss.item()",
        caught_by="test_loss_and_accuracy_of_one_batch",
    ),
    Mistake(
        "a loader needs a length",
        was=TRAIN_MODE,
        now="    len(loader)\n" + TRAIN_MODE,
        caught_by="TestTrainEpoch::test_any_iterable_of_batches_is_a_loader",
    ),
    Mistake(
        "the loss is a tensor",
        was=TRAIN_LOSS,
        now="total_loss += loss * len(labels)",
        caught_by="test_loss_and_accuracy_of_one_batch",
    ),
    Mistake(
        "the best example of each class: argmax over the batch",
        was=TRAIN_RIGHT,
        now="correct += sum(int(labels[i] == c) for c, i in enumerate(outputs.argmax(dim=0).tolist()))",
        caught_by="test_loss_and_accuracy_of_one_batch",
    ),
    Mistake(
        "accuracy after the update",
        was=TRAIN_RIGHT,
        now="correct += (model(inputs).argmax(dim=1) == labels).sum().item()",
        caught_by="test_the_model_is_called_once_a_batch",
    ),
    Mistake(
        "gradients never cleared",
        was=ZERO,
        now="",
        caught_by="test_weights_equal_those_of_a_loop_written_by_hand",
    ),
    Mistake(
        "gradients cleared once before the loop",
        was=TRAIN_MODE,
        now="    optimizer.zero_grad()\n    optimizer.zero_grad = lambda: None\n" + TRAIN_MODE,
        caught_by="test_weights_equal_those_of_a_loop_written_by_hand",
    ),
    Mistake(
        "mode left alone",
        was=TRAIN_MODE,
        now="    total_loss",
        caught_by="test_a_model_in_eval_mode_trains_in_training_mode",
    ),
    Mistake(
        "moved, and the result thrown away",
        was=TRAIN_MOVE,
        now=TRAIN_MOVE.replace("inputs, labels = inputs", "inputs"),
        caught_by="TestTrainEpoch::test_batches_are_moved_to_the_models_device",
        edge=True,
    ),
    Mistake(
        "evaluated in training mode, without a graph",
        was=EVALUATING,
        now=EVALUATING.replace("_evaluating(model)", "torch.no_grad()"),
        caught_by="test_the_model_is_in_eval_mode",
    ),
    Mistake(
        "evaluated with a graph",
        was="        with torch.no_grad():\n            yield",
        now="        yield",
        caught_by="test_no_graph_is_recorded",
    ),
    Mistake(
        "gradients wiped out",
        was=EVALUATING,
        now="    model.zero_grad()\n" + EVALUATING,
        caught_by="test_the_model_is_left_as_it_was",
    ),
    Mistake(
        "always back to training",
        was="model.train(was_training)",
        now="model.train()",
        caught_by="TestEvaluate::test_the_mode_is_put_back",
    ),
    Mistake(
        "only the model's own flag put back",
        was="model.train(was_training)",
        now="model.training = was_training",
        caught_by="TestEvaluate::test_the_mode_is_put_back",
    ),
    Mistake(
        "left in eval mode after an error",
        was="""    try:
        with torch.no_grad():
            yield
    finally:
        model.train(was_training)""",
        now="""    with torch.no_grad():
        yield
    model.train(was_training)""",
        caught_by="test_the_mode_is_put_back_after_an_error",
        edge=True,
    ),
    Mistake(
        "gradients stay switched off",
        was="        with torch.no_grad():\n            yield",
        now="        torch.set_grad_enabled(False)\n        yield",
        caught_by="TestEvaluate::test_the_mode_is_put_back",
    ),
    Mistake(
        "the mean of the batch means in evaluate",
        was=EVAL_NUMBERS,
        now=EVAL_NUMBERS.replace(" * len(labels)", "").replace("loss_sum / seen", "loss_sum / len(loader)"),
        caught_by="test_loss_and_accuracy_count_every_example_alike",
    ),
    Mistake(
        "inputs not moved in evaluate",
        was=EVAL_MOVE,
        now=EVAL_MOVE.replace("= inputs.to(device), ", "= inputs, "),
        caught_by="TestEvaluate::test_batches_are_moved_to_the_models_device",
        edge=True,
    ),
    Mistake(
        "no batch gives zeros",
        was='raise ValueError("the loader gave no batch to evaluate")',
        now="return 0.0, 0.0",
        caught_by="TestEvaluate::test_an_empty_loader_is_an_error",
        edge=True,
    ),
    # EarlyStopping
    Mistake(
        "the state itself, not a copy",
        was=COPY,
        now="self.best_state = model.state_dict()",
        caught_by="test_the_state_of_the_best_epoch_is_kept",
    ),
    Mistake(
        "parameters without buffers",
        was=COPY,
        now="self.best_state = {name: p.detach().clone() for name, p in model.named_parameters()}",
        caught_by="test_the_state_of_the_best_epoch_is_kept",
    ),
    Mistake(
        "one epoch too late",
        was=STOP,
        now="return self.bad_epochs > self.patience",
        caught_by="test_stops_when_patience_has_run_out",
    ),
    Mistake(
        "measured against the epoch before",
        was="            self.bad_epochs += 1\n",
        now="            self.bad_epochs += 1\n            self.best_loss = loss\n",
        caught_by="test_measures_against_the_best_loss",
    ),
    Mistake(
        "best_loss follows gains that are too small",
        was="            self.bad_epochs += 1\n",
        now="            self.bad_epochs += 1\n            self.best_loss = min(self.best_loss, loss)\n",
        caught_by="test_small_gains_do_not_count",
    ),
    Mistake(
        "an equal loss is an improvement",
        was=BETTER,
        now="if loss <= self.best_loss - self.min_delta:",
        caught_by="test_an_equal_loss_is_no_improvement",
    ),
    Mistake(
        "NaN is an improvement",
        was=BETTER,
        now="if not loss >= self.best_loss - self.min_delta:",
        caught_by="test_nan_is_never_an_improvement",
    ),
    Mistake(
        "NaN is no epoch at all",
        was="        self._epoch += 1\n",
        now="        self._epoch += 1\n        if math.isnan(loss):\n            return False\n",
        caught_by="test_nan_is_never_an_improvement",
    ),
    Mistake(
        "restored without a copy",
        was=RESTORE,
        now="        model.load_state_dict(self.best_state, assign=True)",
        caught_by="test_restore_can_be_repeated",
    ),
    Mistake(
        "nothing to restore is not told",
        was='raise RuntimeError("no epoch has been an improvement, so there is nothing to restore")',
        now="return",
        caught_by="test_nothing_to_restore_is_an_error",
        edge=True,
    ),
    Mistake(
        "patience 0 goes through",
        was="if patience < 1 or",
        now="if patience < 0 or",
        caught_by="test_patience_and_min_delta_make_sense",
        edge=True,
    ),
    Mistake(
        "a negative min_delta goes through",
        was=" or min_delta < 0:",
        now=":",
        caught_by="test_patience_and_min_delta_make_sense",
        edge=True,
    ),
    # misclassified
    Mistake(
        "the least sure first",
        was=ORDER,
        now="order = confidence[wrong].argsort(stable=True)",
        caught_by="test_the_surest_mistakes_come_first",
    ),
    Mistake(
        "confidence of the true class",
        was='"confidence": confidence[index]',
        now='"confidence": log_probabilities[index, labels[index]].exp()',
        caught_by="test_the_surest_mistakes_come_first",
    ),
    Mistake(
        "log-probabilities",
        was=CONFIDENCE,
        now="confidence, predicted = log_probabilities.max(dim=1)",
        caught_by="test_the_surest_mistakes_come_first",
    ),
    Mistake(
        "places among the mistakes",
        was='"index": index,',
        now='"index": order[:k],',
        caught_by="test_the_surest_mistakes_come_first",
    ),
    Mistake(
        "k of 0 taken for None",
        was=CUT,
        now="index = wrong[order][: k or None]",
        caught_by="test_at_most_k_of_them",
    ),
    Mistake(
        "the first k mistakes, then sorted",
        was="wrong = (predicted != labels).nonzero().squeeze(1)",
        now="wrong = (predicted != labels).nonzero().squeeze(1)[:k]",
        caught_by="test_at_most_k_of_them",
    ),
    Mistake(
        "topk with k above the number of mistakes",
        was=ORDER,
        now="order = confidence[wrong].topk(len(wrong) if k is None else k).indices",
        caught_by="test_at_most_k_of_them",
    ),
    Mistake(
        "sorted upwards and flipped",
        was=ORDER,
        now="order = confidence[wrong].argsort(stable=True).flip(0)",
        caught_by="test_equal_confidences_keep_the_order_of_the_images",
    ),
    Mistake(
        "all images at once",
        was=ANSWERS,
        now="log_probabilities = model(images)",
        caught_by="test_not_too_many_images_at_once",
    ),
    Mistake(
        "the last, smaller batch left out",
        was=ANSWERS,
        now="log_probabilities = torch.cat([model(images[i : i + batch_size]) "
        "for i in range(0, max(1, len(images) - batch_size + 1), batch_size)])\n"
        "    labels = labels[: len(log_probabilities)]",
        caught_by="test_not_too_many_images_at_once",
    ),
    Mistake(
        "index within the batch",
        was='"index": index,',
        now='"index": index % batch_size,',
        caught_by="test_not_too_many_images_at_once",
    ),
    Mistake(
        "searched in training mode",
        was=SEARCHING,
        now=SEARCHING.replace("_evaluating(model)", "torch.no_grad()"),
        caught_by="test_in_eval_mode_and_without_a_graph",
    ),
    Mistake(
        "searched with a graph",
        was=SEARCHING,
        now="    with _evaluating(model), torch.enable_grad():\n        log_probabilities",
        caught_by="test_in_eval_mode_and_without_a_graph",
    ),
    # fit
    Mistake(
        "the last weights are kept",
        was=RESTORING,
        now="",
        caught_by="test_the_best_weights_are_back_after_a_stop",
    ),
    Mistake(
        "restored only after a stop",
        was=STOPPING + RESTORING,
        now=STOPPING.replace("break", "early_stopping.restore(model)\n            break"),
        caught_by="test_the_best_weights_are_back_without_a_stop",
    ),
    Mistake(
        "early stopping watches the training loss",
        was="early_stopping.step(val_loss, model)",
        now="early_stopping.step(train_loss, model)",
        caught_by="TestFit::test_stops_when_patience_has_run_out",
    ),
    Mistake(
        "asked before the epoch is written down",
        was="            history[name].append(value)\n" + STOPPING,
        now="            pass\n" + STOPPING + "        values = train_loss, train_acc, val_loss, val_acc\n"
        "        for name, value in zip(history, values):\n            history[name].append(value)\n",
        caught_by="TestFit::test_stops_when_patience_has_run_out",
    ),
    Mistake(
        "trained on the validation data, too",
        was="evaluate(model, val_loader, loss_fn)",
        now="train_epoch(model, val_loader, loss_fn, optimizer)",
        caught_by="test_numbers_equal_a_loop_written_by_hand",
    ),
    Mistake(
        "NLL in validation whatever was given",
        was="evaluate(model, val_loader, loss_fn)",
        now="evaluate(model, val_loader, nn.NLLLoss())",
        caught_by="test_another_loss_may_be_given",
    ),
    Mistake(
        "restored without asking for a best state",
        was="if early_stopping is not None and early_stopping.best_state is not None:",
        now="if early_stopping is not None:",
        caught_by="test_no_epochs_do_nothing",
        edge=True,
    ),
    # compare_depths
    Mistake(
        "one seed before the loop",
        was=NETWORKS,
        now="".join(reversed(NETWORKS.splitlines(keepends=True))).replace("        torch", "    torch"),
        caught_by="test_a_result_does_not_depend_on_its_place",
    ),
    Mistake(
        "one generator for all networks",
        was=SHUFFLED,
        now="shuffled = globals().setdefault('shuffled', torch.Generator().manual_seed(seed))",
        caught_by="test_a_result_does_not_depend_on_its_place",
    ),
    Mistake(
        "shuffled by the global generator",
        was=LOADER,
        now=LOADER.replace(", generator=shuffled", ""),
        caught_by="test_all_networks_meet_the_same_batches",
    ),
    Mistake(
        "shuffled by a generator without the seed",
        was=SHUFFLED,
        now="shuffled = torch.Generator()",
        caught_by="test_another_seed_is_another_order",
    ),
    Mistake("not shuffled", was=LOADER, now=LOADER.replace("True", "False"), caught_by="test_the_data_are_shuffled"),
    Mistake(
        "batches of 64 whatever was asked",
        was=LOADER,
        now=LOADER.replace("batch_size", "64"),
        caught_by="test_seed_and_batch_size_make_a_difference",
    ),
    Mistake(
        "as many classes as there are different labels",
        was="int(labels.max()) + 1",
        now="len(labels.unique())",
        caught_by="test_one_dict_for_each_network",
    ),
    Mistake(
        "SGD instead of Adam",
        was="torch.optim.Adam(model",
        now="torch.optim.SGD(model",
        caught_by="test_the_network_starts_from_the_seed",
    ),
    Mistake(
        "the best epoch instead of the last",
        was='"val_acc": history["val_acc"][-1]',
        now='"val_acc": max(history["val_acc"])',
        caught_by="test_results_are_those_of_the_last_epoch",
    ),
    # read_idx
    Mistake("little-endian sizes", was=SIZES, now=SIZES.replace("big", "little"), caught_by="test_pictures_come_back"),
    Mistake("a header of 16 bytes", was="start = 4 + 4 * dims", now="start = 16", caught_by="test_labels_come_back"),
    Mistake(
        "the name decides",
        was=PACKED,
        now='if str(path).endswith(".gz"):',
        caught_by="test_packed_files_are_unpacked",
    ),
    Mistake(
        "a tensor on top of bytes",
        was=ELEMENTS,
        now=ELEMENTS.replace(".copy()", ""),
        caught_by="test_the_memory_is_its_own",
    ),
    Mistake(
        "the number of elements is not compared",
        was=TOO_FEW,
        now="    if False:\n",
        caught_by="test_a_truncated_payload_is_an_error",
        edge=True,
    ),
    Mistake(
        "truncated, and no word of how many bytes",
        was='raise ValueError(f"{path}: truncated, {sizes} elements need {wanted} bytes and there are {there}")',
        now='raise ValueError(f"{path}: truncated")',
        caught_by="test_a_truncated_payload_is_an_error",
        edge=True,
    ),
    Mistake(
        "as many as are wanted, the rest ignored",
        was="    if there > wanted:\n",
        now="    data = data[: start + wanted]\n    if False:\n",
        caught_by="test_bytes_left_over_are_an_error",
        edge=True,
    ),
    Mistake(
        "an empty file is an IndexError",
        was="    if len(data) < 4:\n",
        now="    if False:\n",
        caught_by="test_a_truncated_header_is_an_error",
        edge=True,
    ),
    Mistake(
        "EOFError goes through",
        was=UNPACK,
        now="        data = gzip.decompress(data)\n",
        caught_by="test_a_cut_gzip_stream_is_an_error",
        edge=True,
    ),
    Mistake(
        "the beginning is not read",
        was='    if data[:2] != b"\\x00\\x00":\n',
        now="    if False:\n",
        caught_by="test_another_beginning_is_an_error",
        edge=True,
    ),
    Mistake(
        "the type is not read",
        was="    if kind != 0x08:\n",
        now="    if False:\n",
        caught_by="test_another_type_is_an_error",
        edge=True,
    ),
    Mistake(
        "the message does not name the file",
        was='raise ValueError(f"{path}: {there - wanted} bytes are left over after the last element")',
        now='raise ValueError("bytes are left over")',
        caught_by="test_bytes_left_over_are_an_error",
        edge=True,
    ),
    Mistake(
        "no dimensions go through",
        was="    if dims == 0:\n",
        now="    if False:\n",
        caught_by="test_no_dimensions_are_an_error",
        edge=True,
    ),
]

MODEL = "model = FashionMNISTModel(images[0].numel(), hidden_dims, int(labels.max()) + 1)"
HEADER = 'raise ValueError(f"{path}: truncated header, {dims} sizes need {start} bytes and there are {len(data)}")'

EQUIVALENT = [
    Equivalent(was="if count == 0:", now="if count <= 0:", reason="a count is never negative"),
    Equivalent(was="if seen == 0:", now="if seen <= 0:", reason="a count is never negative"),
    Equivalent(was="if dims == 0:", now="if dims <= 0:", reason="a byte is never negative"),
    *(
        Equivalent(was=MODEL, now=MODEL.replace("[0]", other), reason="all images are of one size")
        for other in ("[1]", "[-1]")
    ),
    Equivalent(
        was=MODEL,
        now=MODEL.replace("int(labels.max())", "labels.max()"),
        reason="nn.Linear takes a 0-dim tensor for a size",
    ),
    *(
        Equivalent(was="if len(data) < 4:", now=now, reason="four bytes alone are no file: another error says so")
        for now in ("if len(data) <= 4:", "if len(data) < 5:")
    ),
    Equivalent(
        was=HEADER,
        now="pass",
        reason="sizes that are cut off make the payload too short as well, and the message says that it is truncated",
    ),
]
