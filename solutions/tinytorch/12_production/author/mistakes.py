"""Wrong solutions of tinytorch/12 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

COPIED = "        parameters[name].data[...] = state[name]\n"
SHAPES = "        if state[name].shape != parameters[name].shape:\n"
LISTS = """            array[...] = state[f"{name}.{i}"]\n"""
STEPS = '    if "steps" in own:\n        optimizer.steps = state["steps"].tolist()\n'
WRITE = "        os.replace(neighbour, path)\n"
PLACE = '    neighbour = path.with_name(f"{path.name}.part")\n'
META = '    arrays["meta"] = np.array(json.dumps({} if meta is None else meta))\n'
BEST = (
    "            self.best, self.best_epoch, self.bad_epochs = value, self.epoch, 0\n"
)
ANSWER = "        return self.bad_epochs >= self.patience\n"
GAIN = "        return gain > self.min_delta\n"
PROGRESS = "    progress = (epoch - warmup) / (total - warmup)\n"
NEXT = "        self.optimizer.lr = self.schedule(self.epoch, self.base_lr)\n"
RESTORE = "            load_model_state(self.model, self.early_stopping.best_state)\n"
SCHEDULER = (
    "            if self.scheduler is not None:\n"
    "                self.scheduler.step()\n"
)
LOWEST = "            if watched < best:\n"

MISTAKES = [
    # states
    Mistake(
        "the state is no copy",
        was="{name: p.data.copy() for name, p in model.named_parameters()}",
        now="{name: p.data for name, p in model.named_parameters()}",
        caught_by="TestModelState::test_the_state_is_a_copy",
        says="looks like the parameters' own arrays",
    ),
    Mistake(
        "the parameter becomes the state's array",
        was=COPIED,
        now="        parameters[name].data = state[name]\n",
        caught_by="TestLoadModelState::test_the_state_is_not_shared",
        says="looks like the state's arrays became the parameters",
    ),
    Mistake(
        "missing and unexpected exchanged",
        was='"missing": [n for n in parameters if n not in state],\n'
        '        "unexpected": [n for n in state if n not in parameters],\n',
        now='"missing": [n for n in state if n not in parameters],\n'
        '        "unexpected": [n for n in parameters if n not in state],\n',
        caught_by="test_not_strict",
        says="looks like missing and unexpected are exchanged",
    ),
    Mistake(
        "the parameters keep their values: perhaps only a local name is bound to the "
        "new ones",
        was=COPIED,
        now="        array = parameters[name].data\n        array = state[name]\n",
        caught_by="TestLoadModelState::test_the_values_come_back",
        says="the parameters",
    ),
    Mistake(
        "copies before it has checked all shapes",
        was=SHAPES,
        now="        if state[name].shape == parameters[name].shape:\n    "
        + COPIED
        + "        else:\n",
        caught_by="TestLoadModelState::test_a_wrong_shape_changes_nothing",
        says="the parameters after the error",
        edge=True,
    ),
    # optimizers
    Mistake(
        "lists without a copy",
        was='            state[f"{name}.{i}"] = array.copy()\n',
        now='            state[f"{name}.{i}"] = array\n',
        caught_by="TestOptimizerState::test_the_state_is_a_copy",
        says="looks like the optimizer's own arrays",
    ),
    Mistake(
        "Adam's steps forgotten",
        was=STEPS,
        now="",
        caught_by="test_goes_on_exactly",
        says="looks like `steps` was not restored",
    ),
    Mistake(
        "the rate forgotten",
        was='    optimizer.lr = float(state["lr"])\n',
        now="",
        caught_by="test_goes_on_exactly",
        says="looks like `lr` was not restored",
    ),
    Mistake(
        "the optimizer keeps the state's arrays",
        was=LISTS,
        now='            getattr(optimizer, name)[i] = state[f"{name}.{i}"]\n',
        caught_by="TestLoadOptimizerState::test_the_state_is_not_shared",
        says="looks like the state's arrays became the optimizer's",
    ),
    # checkpoints
    Mistake(
        "the temporary file is left behind",
        was=WRITE,
        now="        path.write_bytes(neighbour.read_bytes())\n",
        caught_by="test_one_file_with_all_parameters",
        says="looks like the temporary file is left behind",
    ),
    Mistake(
        "written straight to its place",
        was=PLACE,
        now="    neighbour = path\n",
        caught_by="test_a_full_disk",
        says="list [] expected 1 of them: ['run.npz']",
        edge=True,
    ),
    Mistake(
        "a half-written file remains",
        was="        neighbour.unlink(missing_ok=True)\n",
        now="",
        caught_by="test_a_full_disk",
        says="list ['run.npz', 'run.npz.part']",
        edge=True,
    ),
    Mistake(
        "meta is pickled",
        was=META,
        now='    arrays["meta"] = np.array(meta, dtype=object)\n',
        caught_by="TestSaveCheckpoint::test_nothing_is_pickled",
        says="pickle was used",
        edge=True,
    ),
    Mistake(
        "the optimizer is not loaded",
        was="        load_optimizer_state(optimizer, saved)\n",
        now="        pass\n",
        caught_by="test_three_and_three_epochs_are_six",
        says="the parameters after six epochs",
    ),
    # early stopping
    Mistake(
        "patience off by one",
        was=ANSWER,
        now=ANSWER.replace(">=", ">"),
        caught_by="TestEarlyStopping::test_a_series_by_hand",
        says="looks like one epoch late",
    ),
    Mistake(
        "the best epoch counts from 1",
        was=BEST,
        now=BEST.replace("value, self.epoch, 0", "value, self.epoch + 1, 0"),
        caught_by="TestEarlyStopping::test_a_series_by_hand",
        says="looks like counted from 1",
    ),
    Mistake(
        "bad epochs are never forgotten",
        was=BEST,
        now="            self.best, self.best_epoch = value, self.epoch\n",
        caught_by="test_an_improvement_starts_the_count_anew",
        says="looks like bad epochs in all, not in a row",
    ),
    Mistake(
        "min_delta is enough",
        was=GAIN,
        now=GAIN.replace(">", ">="),
        caught_by="test_min_delta",
        says="looks like better by min_delta or more",
    ),
    Mistake(
        "the state of the last epoch",
        was=(
            "            self.best_state = None if model is None else "
            "model_state(model)\n        else:\n"
        ),
        now=(
            "        else:\n"
            "            self.best_state = None if model is None else "
            "model_state(model)\n"
        ),
        caught_by="test_the_state_of_the_best_epoch",
        says="looks like the weights of the last epoch",
    ),
    # schedules
    Mistake(
        "total − 1 in the denominator",
        was=PROGRESS,
        now="    progress = (epoch - warmup) / (total - 1 - warmup)\n",
        caught_by="test_half_a_cosine",
        says="looks like total − 1 in the denominator",
    ),
    Mistake(
        "the cosine starts in epoch 0",
        was=PROGRESS,
        now="    progress = epoch / total\n",
        caught_by="test_warm_up",
        says="looks like the cosine starts in epoch 0",
    ),
    Mistake(
        "the schedule compounds",
        was=NEXT,
        now=NEXT.replace("self.base_lr", "self.optimizer.lr"),
        caught_by="test_every_step_is_an_epoch",
        says="looks like applied to the current rate",
    ),
    # RunningMean and Trainer
    Mistake(
        "the mean of the means",
        was="self.total + value * n, self.count + n",
        now="self.total + value, self.count + 1",
        caught_by="TestRunningMean::test_weights",
        says="looks like the mean of the means, without n",
    ),
    Mistake(
        "the last weights are kept after early stopping",
        was=RESTORE,
        now="            pass\n",
        caught_by="test_stops_early_with_the_best_weights",
        says="looks like the last weights",
    ),
    Mistake(
        "every epoch is saved",
        was=LOWEST,
        now="            if True:\n",
        caught_by="test_the_best_epoch_is_saved",
        says="looks like the last epoch",
    ),
]

EQUIVALENT = [
    Equivalent(
        was="self.bad_epochs = 0",
        now="self.bad_epochs = 1",
        reason="the first value counts from 0; a first NaN is asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="self.bad_epochs = 0",
        now="self.bad_epochs = -1",
        reason="the first value counts from 0; a first NaN is asked at the edges alone",
        textbook=True,
    ),
    Equivalent(
        was="if epoch >= total:",
        now="if epoch > total:",
        reason="there the cosine has come to min_lr",
        textbook=True,
    ),
    Equivalent(
        was="if epoch >= total:",
        now="if epoch >= total + 1:",
        reason="there the cosine has come to min_lr",
        textbook=True,
    ),
    Equivalent(
        was="if loss < best:",
        now="if loss <= best:",
        reason="of equal losses either is the lowest",
        textbook=True,
    ),
    Equivalent(
        was="model = make_cnn(8, padding=1, rng=rng)",
        now="model = make_cnn(9, padding=1, rng=rng)",
        reason="the first pool leaves 4 of 9 pixels, as of 8",
        textbook=True,
    ),
    Equivalent(
        was="found = trainer.evaluate(DataLoader(test, 256))",
        now="found = trainer.evaluate(DataLoader(test, 257))",
        reason="the mean over the test images, in whatever batches",
        textbook=True,
    ),
    Equivalent(
        was="found = trainer.evaluate(DataLoader(test, 256))",
        now="found = trainer.evaluate(DataLoader(test, 255))",
        reason="the mean over the test images, in whatever batches",
        textbook=True,
    ),
]
