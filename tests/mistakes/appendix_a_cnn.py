"""Wrong solutions of appendix A that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

ROOM = "room = size + 2 * padding - dilation * (kernel_size - 1) - 1"
FITS = "    if room < 0:\n"
PLACES = "return room // stride + 1"
SETTINGS = "if min(kernel_size, stride, dilation) < 1 or padding < 0:"

CONV_WINDOWS = "windows = _windows(x, weight.shape[2:], _pair(stride), _pair(padding), border=0.0)"
CONV_SUM = 'y = torch.einsum("bcijuv,ocuv->boij", windows, weight)'
CONV_END = "return y if bias is None else y + bias[:, None, None]"
CHANNELS = "if x.shape[1] != weight.shape[1]:"

POOL_STEP = "step = kernel if stride is None else _pair(stride)"
POOL_END = "return _windows(x, kernel, step, border, border=-math.inf).flatten(-2).max(dim=-1).values"
POOL_HALF = "if any(2 * p > k for k, p in zip(kernel, border, strict=True)):"

CONV_LAYER = "layers.append(nn.Conv2d(width, wider, 3, padding=1, bias=not batch_norm))"
NORM_AND_POOL = """            if batch_norm:
                layers.append(nn.BatchNorm2d(wider))
            layers += [nn.ReLU(), nn.MaxPool2d(2)]"""
CLASSIFIER = (
    "nn.Flatten(), nn.Linear(width * side * side, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, 1)"
)
FORWARD = "return self.classifier(self.features(x)).squeeze(1)"
PROBABILITY = "return torch.sigmoid(self(x))"
HALVES = "if image_size % 2 ** len(channels):"
SHAPE = "if x.shape[1:] != expected:"

CLASSES = "self.classes = sorted(entry.name for entry in root.iterdir() if entry.is_dir())"
FILES = 'files = sorted(path for path in (root / name).rglob("*") if _is_picture(path))'
EMPTY_CLASS = """            if not files:
                raise FileNotFoundError(f"{root / name} holds no picture")
"""
PIXELS = 'pixels = np.array(file.convert("RGB"), dtype=np.float32)'
IMAGE = "image = torch.from_numpy(pixels).permute(2, 0, 1) / 255"
TRANSFORMED = "return (image if self.transform is None else self.transform(image)), label"
IS_PICTURE = 'return path.is_file() and path.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp")'

EVALUATED = 'loss += F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype), reduction="sum").item()'
RIGHT = "right += ((torch.sigmoid(logits) >= threshold) == (labels == 1)).sum().item()"
FLAGS = """    for module, flag in flags.items():
        module.training = flag
"""
NO_SAMPLE = """    if count == 0:
        raise ValueError("the loader gives no sample")
"""

SCHEDULE = 'optimizer.param_groups[0]["lr"] = lr * lr_gamma ** (epoch // lr_step_size)'
TRAIN_MODE = "        model.train()\n"
LOSS = "loss = F.binary_cross_entropy_with_logits(logits, labels.to(logits.dtype))"
TRAIN_SUM = "train_loss += loss.item() * len(labels)"

SEEDED = """            torch.manual_seed(seed)
            model = BinaryCNN(**model_kwargs, batch_norm=batch_norm)
"""
FORKED = "with torch.random.fork_rng():"

SAVED = 'torch.save({"config": model.config, "state_dict": model.state_dict()}, path)'
LOADED = "saved = torch.load(path, map_location=map_location, weights_only=True)"
REBUILT = 'model = BinaryCNN(**saved["config"])'
FILLED = 'model.load_state_dict(saved["state_dict"])'
RETURNED = "return model.to(map_location).eval()"

MISTAKES = [
    # conv_output_size
    Mistake(
        "the + 1 is forgotten",
        was=PLACES,
        now="return room // stride",
        caught_by="test_counts_the_places_of_the_kernel",
    ),
    Mistake(
        "rounded up",
        was=PLACES,
        now="return math.ceil(room / stride) + 1",
        caught_by="test_a_step_that_would_leave_is_not_taken",
    ),
    Mistake("padding once", was=ROOM, now=ROOM.replace("2 * ", ""), caught_by="test_padding_counts_at_both_ends"),
    Mistake(
        "dilation times the whole kernel",
        was=ROOM,
        now="room = size + 2 * padding - dilation * kernel_size",
        caught_by="test_dilation_spreads_the_kernel",
    ),
    Mistake(
        "a missing pixel is rounded away: int() in the place of floor, the check on the result",
        was=FITS,
        now="    if int(room / stride) + 1 < 1:\n",
        caught_by="TestConvOutputSize::test_a_kernel_that_does_not_fit_is_refused",
        edge=True,
    ),
    Mistake(
        "a size of 1 is refused",
        was=FITS,
        now="    if room <= 0:\n",
        caught_by="test_a_kernel_as_large_as_the_picture_fits_once",
    ),
    Mistake(
        "settings are not checked",
        was=SETTINGS,
        now="if False:",
        caught_by="test_senseless_settings_are_refused",
        edge=True,
    ),
    # conv2d
    Mistake(
        "the kernel is flipped",
        was=CONV_SUM,
        now=CONV_SUM.replace("windows, weight", "windows, weight.flip(2, 3)"),
        caught_by="test_an_asymmetric_kernel_is_not_flipped",
    ),
    Mistake(
        "F.unfold reshaped to (…, W', H')",
        was=CONV_SUM,
        now="""y = weight.flatten(1) @ F.unfold(x, weight.shape[2:], padding=_pair(padding), stride=_pair(stride))
    y = y.view(*y.shape[:2], windows.shape[3], windows.shape[2])""",
        caught_by="test_every_place_of_a_picture",
    ),
    Mistake(
        "only square strides",
        was=CONV_WINDOWS,
        now=CONV_WINDOWS.replace("_pair(stride)", "(_pair(stride)[0],) * 2"),
        caught_by="TestConv2d::test_stride_and_padding_follow_torch",
    ),
    Mistake(
        "the border is given to F.pad height first",
        was="F.pad(x, (wide, wide, high, high), value=border)",
        now="F.pad(x, (high, high, wide, wide), value=border)",
        caught_by="TestConv2d::test_stride_and_padding_follow_torch",
    ),
    Mistake(
        "bias along the width",
        was=CONV_END,
        now=CONV_END.replace("bias[:, None, None]", "bias"),
        caught_by="test_bias_is_added_to_output_channels",
    ),
    Mistake(
        "each kernel meets the first channel only",
        was=CONV_SUM,
        now=CONV_SUM.replace("windows, weight", "windows[:, :1], weight[:, :1]"),
        caught_by="test_every_place_of_a_picture",
    ),
    Mistake(
        "the kernel is detached",
        was=CONV_SUM,
        now=CONV_SUM.replace("windows, weight", "windows, weight.data"),
        caught_by="TestConv2d::test_gradients_follow_torch",
    ),
    Mistake(
        "float32 inside",
        was=CONV_SUM,
        now='y = torch.einsum("bcijuv,ocuv->boij", windows.float(), weight.float())',
        caught_by="TestConv2d::test_the_dtype_carries_through",
    ),
    Mistake(
        "the result is collected on the CPU",
        was=CONV_SUM,
        now=CONV_SUM + "\n    y = y + torch.zeros(y.shape, dtype=y.dtype)",
        caught_by="TestConv2d::test_the_device_carries_through",
    ),
    Mistake(
        "channels are not compared", was=CHANNELS, now="if False:", caught_by="test_channels_must_match", edge=True
    ),
    Mistake(
        "small pictures refused before the border is added",
        was=CONV_WINDOWS,
        now=f"""if x.shape[2] < weight.shape[2] or x.shape[3] < weight.shape[3]:
        raise ValueError("too small")
    {CONV_WINDOWS}""",
        caught_by="test_a_picture_smaller_than_the_kernel_is_refused",
        edge=True,
    ),
    Mistake(
        "PyTorch's own",
        was=CONV_SUM,
        now="y = F.conv2d(x, weight, None, stride, padding)",
        caught_by="test_written_without_the_finished_convolutions",
    ),
    # max_pool2d
    Mistake(
        "stride 1 by default",
        was=POOL_STEP,
        now="step = _pair(1 if stride is None else stride)",
        caught_by="test_the_largest_of_every_window",
    ),
    Mistake(
        "the mean of the window",
        was=POOL_END,
        now=POOL_END.replace(".max(dim=-1).values", ".mean(dim=-1)"),
        caught_by="test_the_largest_of_every_window",
    ),
    Mistake(
        "incomplete windows count",
        was=POOL_END,
        now="return F.max_pool2d(x, kernel_size, stride, padding, ceil_mode=True)",
        caught_by="test_the_largest_of_every_window",
    ),
    Mistake(
        "the default stride is square",
        was=POOL_STEP,
        now="step = _pair(kernel[0]) if stride is None else _pair(stride)",
        caught_by="TestMaxPool2d::test_windows_and_strides_follow_torch",
    ),
    Mistake(
        "a border of zeros",
        was=POOL_END,
        now=POOL_END.replace("border=-math.inf", "border=0.0"),
        caught_by="TestMaxPool2d::test_padding_never_wins",
    ),
    Mistake(
        "amax: a tie is shared",
        was=POOL_END,
        now=POOL_END.replace(".max(dim=-1).values", ".amax(dim=-1)"),
        caught_by="test_in_a_tie_one_of_them_gets_the_gradient",
    ),
    Mistake(
        "the gradient goes to the smallest value",
        was=POOL_END,
        now=POOL_END.replace("return _windows", "values = _windows").replace(".max(dim=-1).values", "")
        + "\n    return values.min(dim=-1).values + (values.amax(-1) - values.amin(-1)).detach()",
        caught_by="test_the_gradient_goes_to_the_maximum",
    ),
    Mistake(
        "padding compared in one direction",
        was=POOL_HALF,
        now="if 2 * border[0] > kernel[0]:",
        caught_by="test_padding_of_more_than_half_is_refused",
        edge=True,
    ),
    Mistake(
        "nothing fits, nothing said",
        was=POOL_END,
        now="""if x.shape[2] < kernel[0] or x.shape[3] < kernel[1]:
        return x[:, :, :0, :0]
    """
        + POOL_END,
        caught_by="test_a_picture_smaller_than_the_window_is_refused",
        edge=True,
    ),
    # BinaryCNN
    Mistake(
        "squeeze without a dimension",
        was=FORWARD,
        now=FORWARD.replace("squeeze(1)", "squeeze()"),
        caught_by="test_one_picture_gives_one_logit",
    ),
    Mistake(
        "a sigmoid in forward",
        was=FORWARD,
        now="return torch.sigmoid(self.classifier(self.features(x)).squeeze(1))",
        caught_by="test_forward_returns_logits",
    ),
    Mistake(
        "predict_proba gives logits",
        was=PROBABILITY,
        now="return self(x)",
        caught_by="test_predict_proba_is_the_sigmoid_of_the_logits",
    ),
    Mistake(
        "predict_proba leaves the model in eval mode",
        was=PROBABILITY,
        now=f"self.eval()\n        {PROBABILITY}",
        caught_by="test_predict_proba_keeps_the_mode",
    ),
    Mistake(
        "batch norm after ReLU",
        was=NORM_AND_POOL,
        now="""            layers.append(nn.ReLU())
            if batch_norm:
                layers.append(nn.BatchNorm2d(wider))
            layers.append(nn.MaxPool2d(2))""",
        caught_by="test_the_layers_of_the_features",
    ),
    Mistake(
        "dropout in the features",
        was=NORM_AND_POOL,
        now=NORM_AND_POOL.replace("nn.MaxPool2d(2)]", "nn.MaxPool2d(2), nn.Dropout(dropout)]"),
        caught_by="test_the_layers_of_the_features",
    ),
    Mistake(
        "one pooling at the end",
        was=f"{NORM_AND_POOL}\n            width = wider",
        now=NORM_AND_POOL.replace(", nn.MaxPool2d(2)]", "]").replace("nn.MaxPool2d(2)", "")
        + "\n            width = wider\n        layers.append(nn.MaxPool2d(2 ** len(channels)))",
        caught_by="test_the_layers_of_the_features",
    ),
    Mistake(
        "always a bias",
        was=CONV_LAYER,
        now=CONV_LAYER.replace(", bias=not batch_norm", ""),
        caught_by="test_no_bias_before_a_batch_norm",
    ),
    Mistake(
        "no dropout",
        was=CLASSIFIER,
        now=CLASSIFIER.replace("nn.Dropout(dropout), ", ""),
        caught_by="test_the_layers_of_the_classifier",
    ),
    Mistake(
        "F.dropout whatever the mode",
        was=FORWARD,
        now="return F.dropout(self.classifier(self.features(x)).squeeze(1))",
        caught_by="test_eval_is_deterministic_and_training_is_not",
    ),
    Mistake(
        "the caller's list of channels",
        was='"channels": list(channels),',
        now='"channels": channels,',
        caught_by="test_config_has_its_own_list_of_channels",
    ),
    Mistake(
        "a config without the dropout",
        was='            "dropout": dropout,\n',
        now="",
        caught_by="test_config_holds_the_arguments",
    ),
    Mistake("any size", was=HALVES, now="if False:", caught_by="test_the_size_must_halve_without_rest", edge=True),
    # ImageFolderDataset
    Mistake(
        "classes in another order than the alphabet's, as os.listdir may give them",
        was=CLASSES,
        now="self.classes = sorted((entry.name for entry in root.iterdir() if entry.is_dir()), reverse=True)",
        caught_by="test_folders_are_classes_in_alphabetical_order",
    ),
    Mistake(
        "files by date, newest name first",
        was=FILES,
        now=FILES.replace("_is_picture(path))", "_is_picture(path))[::-1]"),
        caught_by="test_samples_are_sorted",
    ),
    Mistake(
        "only the first level",
        was=FILES,
        now=FILES.replace("rglob", "glob"),
        caught_by="test_nested_folders_belong_to_the_class",
        edge=True,
    ),
    Mistake(
        "lower case only",
        was=IS_PICTURE,
        now=IS_PICTURE.replace(".lower()", ""),
        caught_by="test_upper_case_extensions_count",
    ),
    Mistake(
        "names that end in png, with a dot or without",
        was=IS_PICTURE,
        now='return path.is_file() and path.name.lower().endswith(("png", "jpg", "jpeg", "bmp"))',
        caught_by="test_other_files_are_ignored",
    ),
    Mistake(
        "(H, W, 3)",
        was=IMAGE,
        now="image = torch.from_numpy(pixels) / 255",
        caught_by="test_a_picture_is_channels_height_width",
    ),
    Mistake(
        "reshaped to (3, H, W)",
        was=IMAGE,
        now="image = torch.from_numpy(pixels).reshape(3, *pixels.shape[:2]) / 255",
        caught_by="test_every_pixel_is_in_its_place",
    ),
    Mistake(
        "bytes from 0 to 255",
        was=IMAGE,
        now=IMAGE.replace(" / 255", ""),
        caught_by="test_a_picture_is_channels_height_width",
    ),
    Mistake(
        "as many channels as the file has",
        was=PIXELS,
        now="pixels = np.atleast_3d(np.array(file, dtype=np.float32))",
        caught_by="test_grey_and_transparent_pictures_have_three_channels",
    ),
    Mistake(
        "the transform is ignored",
        was=TRANSFORMED,
        now="return image, label",
        caught_by="test_the_transform_gets_the_tensor",
    ),
    Mistake(
        "all files are opened at once",
        was="            self.samples += [(path, label) for path in files]\n",
        now="""            self.samples += [(path, label) for path in files]
            for path in files:
                Image.open(path).close()
""",
        caught_by="test_files_are_opened_on_access_only",
    ),
    Mistake("empty classes are fine", was=EMPTY_CLASS, now="", caught_by="test_an_empty_class_is_named", edge=True),
    Mistake(
        "a root without classes",
        was="        if not self.classes:\n",
        now="        if False:\n",
        caught_by="test_folders_that_are_not_there_are_named",
        edge=True,
    ),
    # evaluate_binary
    Mistake(
        "the mean of the batches' means",
        was=EVALUATED,
        now=EVALUATED.replace(', reduction="sum"', "").replace(
            ".item()", ".item() * len(loader.dataset) / len(loader)"
        ),
        caught_by="test_every_sample_counts_the_same",
    ),
    Mistake(
        "a second sigmoid in the loss",
        was=EVALUATED,
        now=EVALUATED.replace("_logits(logits,", "_logits(logits.sigmoid(),"),
        caught_by="test_loss_and_accuracy_of_one_batch",
    ),
    Mistake(
        "BCELoss of probabilities",
        was=EVALUATED,
        now='loss += F.binary_cross_entropy(logits.sigmoid(), labels.to(logits.dtype), reduction="sum").item()',
        caught_by="test_sure_and_wrong_is_expensive_but_finite",
    ),
    Mistake(
        "the threshold is for logits",
        was=RIGHT,
        now=RIGHT.replace("torch.sigmoid(logits)", "logits"),
        caught_by="test_the_threshold_is_a_probability",
    ),
    Mistake(
        "more than the threshold",
        was=RIGHT,
        now=RIGHT.replace(">=", ">"),
        caught_by="test_exactly_the_threshold_is_positive",
    ),
    Mistake(
        "labels stay int64 in the evaluation",
        was=EVALUATED,
        now=EVALUATED.replace("labels.to(logits.dtype)", "labels"),
        caught_by="test_int64_labels_count_the_same",
    ),
    Mistake(
        "a tensor for the accuracy",
        was=RIGHT,
        now=RIGHT.replace(".item()", ""),
        caught_by="test_plain_floats",
    ),
    Mistake(
        "measured in training mode",
        was="    model.eval()\n    loss, right",
        now="    loss, right",
        caught_by="test_in_eval_mode_and_without_gradients",
    ),
    Mistake(
        "with a graph",
        was="    with torch.no_grad():\n        for images",
        now="    if True:\n        for images",
        caught_by="test_in_eval_mode_and_without_gradients",
    ),
    Mistake(
        "one flag for all modules",
        was=FLAGS,
        now="    model.train(flags[model])\n",
        caught_by="test_flags_are_as_before",
    ),
    Mistake(
        "batch norms learn while measuring",
        was="    model.eval()\n    loss, right",
        now="    model.eval()\n    _ = [m.train() for m in model.modules() if isinstance(m, nn.BatchNorm2d)]\n    loss, right",
        caught_by="test_buffers_are_as_before",
    ),
    # train_classifier
    Mistake(
        "cleared only after the step",
        was="""            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
""",
        now="""            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
""",
        caught_by="test_gradients_from_before_have_no_influence",
    ),
    Mistake(
        "a new optimizer every epoch",
        was=TRAIN_MODE,
        now=f"{TRAIN_MODE}        optimizer = torch.optim.Adam(model.parameters(), lr=optimizer.param_groups[0]['lr'])\n",
        caught_by="test_weights_move_as_with_adam",
    ),
    Mistake(
        "train_loss: the mean of the means",
        was=TRAIN_SUM,
        now="train_loss += loss.item() * len(train_loader.dataset) / len(train_loader)",
        caught_by="test_the_train_loss_is_a_mean_over_samples",
    ),
    Mistake(
        "train_loss: divided by the size of the dataset",
        was='"train_loss": train_loss / count,',
        now='"train_loss": train_loss / len(train_loader.dataset),',
        caught_by="test_samples_left_out_do_not_count",
    ),
    Mistake(
        "validation on the training data",
        was="val = evaluate_binary(model, val_loader)",
        now="val = evaluate_binary(model, train_loader)",
        caught_by="test_validation_follows_training",
    ),
    Mistake(
        "model.eval() before validation, never undone",
        was="    history = []\n    for epoch in range(epochs):\n",
        now="    history = []\n    model.train()\n    for epoch in range(epochs):\n        model.train = model.eval if epoch else model.train\n",
        caught_by="test_training_mode_in_every_epoch",
    ),
    Mistake(
        "the schedule steps with every batch",
        was="            optimizer.step()\n",
        now="""            optimizer.step()
            steps = getattr(optimizer, "steps", 0) + 1
            optimizer.steps = steps
            if lr_step_size is not None:
                optimizer.param_groups[0]["lr"] = lr * lr_gamma ** (steps // lr_step_size)
""",
        caught_by="test_rates_are_those_that_were_used",
    ),
    Mistake(
        "the rate of the next epoch is written down",
        was='"lr": optimizer.param_groups[0]["lr"],',
        now='"lr": lr if lr_step_size is None else lr * lr_gamma ** ((epoch + 1) // lr_step_size),',
        caught_by="test_rates_fall_in_steps",
    ),
    Mistake(
        "the rate falls every epoch",
        was=SCHEDULE,
        now='optimizer.param_groups[0]["lr"] = lr * lr_gamma**epoch',
        caught_by="test_rates_fall_in_steps",
    ),
    Mistake(
        "labels stay int64 in the loss",
        was=LOSS,
        now=LOSS.replace("labels.to(logits.dtype)", "labels"),
        caught_by="test_int64_labels_train",
    ),
    Mistake(
        "logits through a sigmoid, and then the loss with logits",
        was=LOSS,
        now=LOSS.replace("(logits,", "(torch.sigmoid(logits),"),
        caught_by="test_weights_move_as_with_adam",
    ),
    # compare_batch_norm
    Mistake(
        "seeded once, for both",
        was=SEEDED,
        now=SEEDED.replace("torch.manual_seed(seed)", "_ = batch_norm or torch.manual_seed(seed)"),
        caught_by="test_each_starts_from_the_seed",
    ),
    Mistake(
        "built before the seed",
        was=SEEDED,
        now="""            model = BinaryCNN(**model_kwargs, batch_norm=batch_norm)
            torch.manual_seed(seed)
""",
        caught_by="test_each_starts_from_the_seed",
    ),
    Mistake(
        "the wrong way round",
        was='(("plain", False), ("batch_norm", True))',
        now='(("batch_norm", True), ("plain", False))',
        caught_by="test_two_histories_by_name",
    ),
    Mistake(
        "no seed",
        was="            torch.manual_seed(seed)\n",
        now="",
        caught_by="test_the_comparison_is_reproducible",
    ),
    Mistake(
        "the global generator stays seeded",
        was=FORKED,
        now="if True:",
        caught_by="test_the_global_generator_is_left_alone",
        edge=True,
    ),
    # save_model
    Mistake("the pickled model", was=SAVED, now="torch.save(model, path)", caught_by="test_the_file_is_data"),
    Mistake(
        "weights without a config",
        was=SAVED,
        now="torch.save(model.state_dict(), path)",
        caught_by="test_the_file_knows_the_dropout",
    ),
    Mistake(
        "parameters without buffers",
        was=SAVED,
        now='torch.save({"config": model.config, "state_dict": dict(model.named_parameters())}, path)',
        caught_by="test_the_file_holds_weights_and_buffers",
    ),
    Mistake(
        "eval mode before saving",
        was=SAVED,
        now=f"model.eval()\n    {SAVED}",
        caught_by="test_the_model_is_left_as_it_was",
    ),
    Mistake(
        "a file that is there stays",
        was=SAVED,
        now=f"if not Path(path).exists():\n        {SAVED}",
        caught_by="test_an_older_file_is_overwritten",
    ),
    # load_model
    Mistake(
        "the default dropout",
        was=REBUILT,
        now='model = BinaryCNN(**(saved["config"] | {"dropout": 0.5}))',
        caught_by="test_all_arguments_off_their_defaults",
    ),
    Mistake(
        "buffers passed over",
        was=FILLED,
        now='model.load_state_dict({k: v for k, v in saved["state_dict"].items() if "running" not in k}, strict=False)',
        caught_by="test_weights_and_buffers",
    ),
    Mistake(
        "in training mode",
        was=RETURNED,
        now="return model.to(map_location)",
        caught_by="test_the_loaded_model_is_in_eval_mode",
    ),
    Mistake(
        "whatever the file says is run",
        was=LOADED,
        now=LOADED.replace("weights_only=True", "weights_only=False"),
        caught_by="test_a_file_is_never_run",
    ),
    Mistake(
        "map_location is only for the model",
        was=LOADED,
        now=LOADED.replace("map_location=map_location, ", ""),
        caught_by="test_a_file_from_a_gpu",
    ),
]

EQUIVALENT = [
    Equivalent(
        f"{PIXELS}  # (H, W, 3)",
        f"{PIXELS.replace(', dtype=np.float32', '')}  # (H, W, 3)",
        "bytes divided by 255 are float32, too",
    ),
    Equivalent(RIGHT, RIGHT.replace("labels == 1", "labels >= 1"), "labels are 0 or 1"),
    Equivalent("if count == 0:", "if count <= 0:", "a count is never negative"),
    Equivalent(SCHEDULE, SCHEDULE.replace("[0]", "[-1]"), "there is one group, the first and the last"),
    Equivalent(
        '"lr": optimizer.param_groups[0]["lr"],',
        '"lr": optimizer.param_groups[-1]["lr"],',
        "there is one group, the first and the last",
    ),
    Equivalent(RETURNED, RETURNED.replace(".to(map_location)", ""), "only a GPU can tell"),
]
