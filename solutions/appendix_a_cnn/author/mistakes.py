"""Wrong solutions of appendix A that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

CONV_WINDOWS = (
    "windows = _windows(x, weight.shape[2:], _pair(stride), _pair(padding), border=0.0)"
)
CONV_SUM = 'y = torch.einsum("bcijuv,ocuv->boij", windows, weight)'
POOL_END = """return (
        _windows(x, kernel, step, border, border=-math.inf)
        .flatten(-2)
        .max(dim=-1)
        .values
    )"""
NORM_AND_POOL = """            if batch_norm:
                layers.append(nn.BatchNorm2d(wider))
            layers += [nn.ReLU(), nn.MaxPool2d(2)]"""
FORWARD = "return self.classifier(self.features(x)).squeeze(1)"
PIXELS = 'pixels = np.array(file.convert("RGB"), dtype=np.float32)'
IMAGE = "image = torch.from_numpy(pixels).permute(2, 0, 1) / 255"
IS_PICTURE = (
    'return path.is_file() and path.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp")'
)
EVALUATED = """loss += F.binary_cross_entropy_with_logits(
                logits, labels.to(logits.dtype), reduction="sum"
            ).item()"""
RIGHT = """right += (
                ((torch.sigmoid(logits) >= threshold) == (labels == 1)).sum().item()
            )"""
FLAGS = """    for module, flag in flags.items():
        module.training = flag
"""
SCHEDULE = 'optimizer.param_groups[0]["lr"] = lr * lr_gamma ** (epoch // lr_step_size)'
RETURNED = "return model.to(map_location).eval()"
SAVED = 'torch.save({"config": model.config, "state_dict": model.state_dict()}, path)'

MISTAKES = [
    # conv_output_size
    Mistake(
        "rounded up",
        was="return room // stride + 1",
        now="return math.ceil(room / stride) + 1",
        caught_by="test_a_step_that_would_leave_is_not_taken",
        says="looks like rounded up",
    ),
    # conv2d
    Mistake(
        "the kernel is flipped",
        was=CONV_SUM,
        now=CONV_SUM.replace("windows, weight", "windows, weight.flip(2, 3)"),
        caught_by="test_a_row_under_a_kernel_of_two",
        says="looks like the kernel is flipped",
    ),
    Mistake(
        "F.unfold reshaped to (…, W', H')",
        was=CONV_SUM,
        now="""\
y = weight.flatten(1) @ F.unfold(
        x, weight.shape[2:], padding=_pair(padding), stride=_pair(stride)
    )
    y = y.view(*y.shape[:2], windows.shape[3], windows.shape[2])""",
        caught_by="test_every_place_of_a_picture",
        says="looks like the right numbers, laid out as (B, Cout, W', H')",
    ),
    Mistake(
        "only square strides",
        was=CONV_WINDOWS,
        now=CONV_WINDOWS.replace("_pair(stride)", "(_pair(stride)[0],) * 2"),
        caught_by="test_stride_and_padding",
        says="looks like the stride of the height in both directions",
    ),
    Mistake(
        "the border is given to F.pad height first",
        was="F.pad(x, (wide, wide, high, high), value=border)",
        now="F.pad(x, (high, high, wide, wide), value=border)",
        caught_by="test_stride_and_padding",
        says="looks like padding of height and width exchanged",
    ),
    Mistake(
        "PyTorch's own",
        was=CONV_SUM,
        now="y = F.conv2d(x, weight, None, stride, padding)",
        caught_by="test_written_without_the_finished_convolutions",
        says="without torch.nn.functional.conv2d",
    ),
    # max_pool2d
    Mistake(
        "stride 1 by default",
        was="step = kernel if stride is None else _pair(stride)",
        now="step = _pair(1 if stride is None else stride)",
        caught_by="test_the_largest_of_every_window",
        says="looks like stride 1",
    ),
    Mistake(
        "a border of zeros",
        was=POOL_END,
        now=POOL_END.replace("border=-math.inf", "border=0.0"),
        caught_by="test_padding_never_wins",
        says="looks like a border of zeros",
    ),
    Mistake(
        "amax: a tie is shared",
        was=POOL_END,
        now=(
            "return _windows(x, kernel, step, border, "
            "border=-math.inf).flatten(-2).amax(dim=-1)"
        ),
        caught_by="test_in_a_tie_one_of_them_gets_the_gradient",
        says="went to 4 of them: it should be one",
        edge=True,
    ),
    # BinaryCNN
    Mistake(
        "batch norm after ReLU",
        was=NORM_AND_POOL,
        now="""            layers.append(nn.ReLU())
            if batch_norm:
                layers.append(nn.BatchNorm2d(wider))
            layers.append(nn.MaxPool2d(2))""",
        caught_by="test_the_layers_of_the_features",
        says="looks like batch norm after the ReLU",
    ),
    Mistake(
        "squeeze without a dimension",
        was=FORWARD,
        now=FORWARD.replace("squeeze(1)", "squeeze()"),
        caught_by="test_one_picture_gives_one_logit",
        says="shape () expected (1,)",
    ),
    Mistake(
        "a sigmoid in forward",
        was=FORWARD,
        now="return torch.sigmoid(self.classifier(self.features(x)).squeeze(1))",
        caught_by="test_forward_returns_logits",
        says="looks like probabilities: a sigmoid in forward",
    ),
    # ImageFolderDataset
    Mistake(
        "lower case only",
        was=IS_PICTURE,
        now=IS_PICTURE.replace(".lower()", ""),
        caught_by="test_upper_case_extensions_count",
        says="looks like lower case only",
        edge=True,
    ),
    Mistake(
        "reshaped to (3, H, W)",
        was=IMAGE,
        now="image = torch.from_numpy(pixels).reshape(3, *pixels.shape[:2]) / 255",
        caught_by="test_a_picture_is_channels_height_width",
        says="looks like reshaped, not permuted",
    ),
    Mistake(
        "as many channels as the file has",
        was=PIXELS,
        now="pixels = np.atleast_3d(np.array(file, dtype=np.float32))",
        caught_by="test_grey_and_transparent_pictures_have_three_channels",
        says="looks like as many channels as the file has: .convert('RGB') makes three",
    ),
    # evaluate_binary
    Mistake(
        "the mean of the batches' means",
        was=EVALUATED,
        now=EVALUATED.replace(', reduction="sum"', "").replace(
            ".item()", ".item() * len(loader.dataset) / len(loader)"
        ),
        caught_by="test_every_sample_counts_the_same",
        says="looks like the mean of the batches' means",
    ),
    Mistake(
        "the threshold is for logits",
        was=RIGHT,
        now=RIGHT.replace("torch.sigmoid(logits)", "logits"),
        caught_by="test_the_threshold_is_a_probability",
        says="looks like logits compared with the threshold",
    ),
    Mistake(
        "one flag for all modules",
        was=FLAGS,
        now="    model.train(flags[model])\n",
        caught_by="test_each_module_has_its_own_flag_back",
        says="looks like one flag for all modules",
        edge=True,
    ),
    Mistake(
        "the mode is not put back",
        was=FLAGS,
        now="",
        caught_by="test_mode_and_buffers_are_as_before",
        says="of training flags afterwards[0] got False",
    ),
    # train_classifier
    Mistake(
        "model.eval() in the evaluation, never undone",
        was="        model.train()\n        train_loss",
        now="        model.train(epoch == 0)\n        train_loss",
        caught_by="test_training_mode_in_every_epoch",
        says="looks like eval mode from the second epoch on",
    ),
    Mistake(
        "the schedule steps with every batch",
        was="        for images, labels in train_loader:\n            logits",
        now="""\
        first = epoch * len(train_loader)
        for batch, (images, labels) in enumerate(train_loader, start=first):
            if lr_step_size is not None:
                decay = lr_gamma ** (batch // lr_step_size)
                optimizer.param_groups[0]["lr"] = lr * decay
            logits""",
        caught_by="test_rates_are_those_that_were_used",
        says="looks like a rate that falls by batches, not by epochs",
    ),
    Mistake(
        "the rate falls every epoch",
        was=SCHEDULE,
        now='optimizer.param_groups[0]["lr"] = lr * lr_gamma**epoch',
        caught_by="test_rates_fall_in_steps",
        says="looks like multiplied after every epoch",
    ),
    # compare_batch_norm
    Mistake(
        "the global generator stays seeded",
        was="with torch.random.fork_rng():",
        now="if True:",
        caught_by="test_the_global_generator_is_left_alone",
        says="the state of the global generator is another one now",
        edge=True,
    ),
    # save_model, load_model
    Mistake(
        "the pickled model",
        was=SAVED,
        now="torch.save(model, path)",
        caught_by="test_the_file_is_data",
        says="torch.load(path, weights_only=True) does not open the file",
    ),
    Mistake(
        "weights without a config",
        was=SAVED,
        now="torch.save(model.state_dict(), path)",
        caught_by="test_the_file_knows_the_dropout",
        says="is the config in it?",
    ),
]

EQUIVALENT = [
    Equivalent(
        f"{PIXELS}  # (H, W, 3)",
        f"{PIXELS.replace(', dtype=np.float32', '')}  # (H, W, 3)",
        "bytes divided by 255 are float32, too",
    ),
    Equivalent(
        "((torch.sigmoid(logits) >= threshold) == (labels == 1)).sum().item()",
        "((torch.sigmoid(logits) >= threshold) == (labels >= 1)).sum().item()",
        "labels are 0 or 1",
    ),
    Equivalent("if count == 0:", "if count <= 0:", "a count is never negative"),
    Equivalent(
        SCHEDULE,
        SCHEDULE.replace("[0]", "[-1]"),
        "there is one group, the first and the last",
    ),
    Equivalent(
        '"lr": optimizer.param_groups[0]["lr"],',
        '"lr": optimizer.param_groups[-1]["lr"],',
        "there is one group, the first and the last",
    ),
    Equivalent(
        RETURNED, RETURNED.replace(".to(map_location)", ""), "only a GPU can tell"
    ),
    Equivalent(
        was='"lr": optimizer.param_groups[0]["lr"],',
        now='"lr": optimizer.param_groups[-1]["lr"],',
        reason="there is one group",
        textbook=True,
    ),
]
