"""Specs of 10: a classifier of any depth, training, evaluation, early stopping, its mistakes, a run, IDX files."""

import copy
import gzip
import math
import struct
import warnings
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from grader.datasets import digits
from grader.specs import check

B, D, C = 5, 42, 3  # examples, numbers in one (6 · 7), classes
EXACT = {"rtol": 1e-9, "atol": 1e-12}


def linears(model):
    return [module for module in model.modules() if isinstance(module, nn.Linear)]


def by_hand(model, x, *, bend=True, bend_last=False, end="log-softmax"):
    """The forward pass of a classifier in float64 NumPy, from the weights it has. The options make mistakes."""
    h = x.detach().double().numpy().reshape(len(x), -1)
    layers = linears(model)
    sizes = [(layer.in_features, layer.out_features) for layer in layers]
    for number, layer in enumerate(layers, 1):
        fits = layer.in_features == h.shape[1]
        check.that(fits, f"modules() finds linear layers of sizes {sizes}, which do not lead on from {x[0].numel()}")
        h = h @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()
        if (bend and number < len(layers)) or (bend_last and number == len(layers)):
            h = np.where(h > 0, h, 0.0)
    axis = 0 if end == "over the batch" else 1
    shifted = h - h.max(axis=axis, keepdims=True)
    log = shifted - np.log(np.exp(shifted).sum(axis=axis, keepdims=True))
    return torch.tensor({"logits": h, "softmax": np.exp(log)}.get(end, log))


FEATURES = 4  # of the examples that training and evaluation are tried on


def examples(n=11):
    """n examples of 4 features and their labels 0, 1 or 2, the same ones each time."""
    random = np.random.default_rng(3)
    x = random.normal(size=(n, FEATURES))
    return torch.tensor(x), torch.tensor(random.integers(0, C, size=n))


def batches(x, y, size):
    return list(zip(x.split(size), y.split(size), strict=True))


def one_layer():
    """A linear layer and log-softmax in float64, with the same weights each time."""
    random = np.random.default_rng(11)
    model = nn.Sequential(nn.Linear(FEATURES, C), nn.LogSoftmax(dim=1)).double()
    weight, bias = random.normal(size=(C, FEATURES)), random.normal(size=C)
    model.load_state_dict({"0.weight": torch.tensor(weight), "0.bias": torch.tensor(bias)})
    return model


def weights_of(model):
    return [p.detach() for p in model.parameters()]


class Run:
    """An epoch of SGD on `one_layer()` in NumPy, the gradient written out: where the weights end, and for each batch
    its size, its mean loss and its right answers before the update. `how` makes mistakes."""

    def __init__(self, model, loader, lr=0.0, momentum=0.0, how=""):
        w, b = (p.detach().numpy().copy() for p in model.parameters())
        to_w, to_b, sum_w, sum_b = 0.0, 0.0, 0.0, 0.0
        self.sizes, self.losses, self.right = [], [], []
        for x, y in loader:
            x, y = x.numpy(), y.numpy()
            before = self._measure(x, y, w, b)
            slope = (before[2] - np.eye(C)[y]) / len(y)
            kept = 1.0 if how == "piled up" else 0.0
            sum_w, sum_b = kept * sum_w + slope.T @ x, kept * sum_b + slope.sum(0)
            to_w, to_b = momentum * to_w + sum_w, momentum * to_b + sum_b
            w, b = w - lr * to_w, b - lr * to_b
            loss, right, _ = self._measure(x, y, w, b) if how == "measured after" else before
            self.sizes.append(len(y)), self.losses.append(loss), self.right.append(right)
        self.weights = [torch.tensor(w), torch.tensor(b)]

    @staticmethod
    def _measure(x, y, w, b):
        scores = np.exp(x @ w.T + b)
        chances = scores / scores.sum(1, keepdims=True)
        loss = -sum(math.log(row[label]) for row, label in zip(chances, y, strict=True)) / len(y)
        return loss, sum(int(np.argmax(row)) == label for row, label in zip(chances, y, strict=True)), chances

    @property
    def numbers(self):
        """Mean loss and accuracy, each example counted alike."""
        rows = list(zip(self.sizes, self.losses, strict=True))
        return sum(size * loss for size, loss in rows) / sum(self.sizes), float(sum(self.right) / sum(self.sizes))

    @property
    def means_of_batch_means(self):
        shares = [right / size for right, size in zip(self.right, self.sizes, strict=True)]
        return sum(self.losses) / len(self.losses), float(sum(shares) / len(shares))


def trained_in_numpy(model, loader, **options):
    """`Run`, and what known slips would give in its place: `numbers` by name."""
    run = Run(model, loader, **options)
    return run, {
        "the mean of the batch means: a small batch counts as much as a full one": run.means_of_batch_means,
        "sums over the batches, not divided by the number of examples": (sum(run.losses), float(sum(run.right))),
        "measured again after each update": Run(model, loader, **options, how="measured after").numbers,
    }


class Notes(list):
    """A list that a copy of its owner shares: who evaluates a copy of the model has evaluated it."""

    def __deepcopy__(self, memo):
        return self


class Watched(nn.Module):
    """Passes everything on to another model, and notes of each call its mode, its batch and whether a graph grows."""

    def __init__(self, model):
        super().__init__()
        self.model, self.modes, self.inputs, self.graphs = model, Notes(), Notes(), Notes()

    def forward(self, x):
        output = self.model(x)
        self.modes.append(self.training and all(m.training for m in self.modules()))
        self.inputs.append(x)
        self.graphs.append(output.requires_grad)
        return output


class Elsewhere(Tensor):
    """A tensor that says it is on another device, until it is moved: then it is an ordinary one."""

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function == Tensor.device.__get__:
            return torch.device("meta")
        result = super().__torch_function__(function, types, args, kwargs or {})
        moved = function in (Tensor.to, Tensor.cpu)
        return result.as_subclass(Tensor) if moved else result


def check_moved(call):
    """What `call(model, loader, loss_fn)` does with batches from elsewhere: the model and the loss get them moved."""
    x, y = examples()
    model, labels = Watched(one_layer()), []

    def loss_fn(outputs, targets):
        labels.append(targets)
        return nn.functional.nll_loss(outputs, targets)

    call(model, [(x.as_subclass(Elsewhere), y.as_subclass(Elsewhere))], loss_fn)
    for name, seen in (("the model", model.inputs), ("the loss function", labels)):
        moved = bool(seen) and not any(isinstance(t, Elsewhere) for t in seen)
        check.that(moved, f"{name} got a batch that was not moved to the device of the model's parameters")


def with_modes():
    """A model of several modules in which the mode matters: dropout, and batch norm with its buffers."""
    hidden = [nn.Linear(FEATURES, 6), nn.BatchNorm1d(6), nn.Dropout(0.5)]
    return nn.Sequential(*hidden, nn.Linear(6, C), nn.LogSoftmax(dim=1)).double()


def everything_in(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def check_modes(model, expected, when):
    modes = {name or "the model": module.training for name, module in model.named_modules()}
    wrong = [name for name, mode in modes.items() if mode != expected]
    word = "training" if expected else "eval"
    check.that(not wrong, f"{when}, {', '.join(wrong[:3])} should be in {word} mode again")


class TestFashionMNISTModel:
    def test_one_row_of_scores_for_each_example(self, kata):
        """(B, …) becomes (B, C), however the numbers of an example are laid out: as a picture with a channel, without
        one, or as a row."""
        model = kata.FashionMNISTModel(D, (9, 8), C)
        for shape in ((B, 1, 6, 7), (B, 6, 7), (B, D)):
            check.shape(model(torch.randn(shape)), (B, C), what=f"output for x of shape {shape}")

    @pytest.mark.parametrize("hidden", [(9, 8), (9, 8, 7), ()], ids=str)
    def test_linear_layers_lead_from_size_to_size(self, kata, hidden):
        """Each linear layer takes what the one before it gives: D → 9 → 8 → C. They are found by `modules()`, and so by
        `parameters()` and an optimizer, which a plain Python list would hide; and in the order of their use."""
        model = kata.FashionMNISTModel(D, hidden, C)
        got = [(layer.in_features, layer.out_features) for layer in linears(model)]
        sizes = [D, *hidden, C]
        expected = list(zip(sizes[:-1], sizes[1:], strict=True))
        check.equal(got, expected, what="(in_features, out_features) of the linear layers")

    def test_sizes_unless_told(self, kata):
        """A FashionMNIST picture has 784 pixels and one of ten classes; 128 and 64 hidden units lie between."""
        got = [(layer.in_features, layer.out_features) for layer in linears(kata.FashionMNISTModel())]
        check.equal(got, [(784, 128), (128, 64), (64, 10)], what="(in_features, out_features) of the linear layers")

    @pytest.mark.parametrize("hidden", [(9, 8), (9, 8, 7), ()], ids=str)
    def test_outputs_equal_a_loop_written_by_hand(self, kata, hidden):
        """Linear, ReLU, Linear, ReLU, …, Linear, log-softmax. ReLU follows every linear layer but the last, whose
        negative scores are as good as its positive ones."""
        model = kata.FashionMNISTModel(D, hidden, C).double()
        x = 3 * torch.randn(B, 1, 6, 7, dtype=torch.float64)
        check.close(
            model(x),
            by_hand(model, x),
            unlike={
                "no ReLU: several linear layers in a row are one linear layer": by_hand(model, x, bend=False),
                "ReLU after the last layer, too": by_hand(model, x, bend_last=True),
                "scores as the last layer gives them: log-softmax is missing": by_hand(model, x, end="logits"),
                "probabilities: the logarithm is missing": by_hand(model, x, end="softmax"),
                "log-softmax over the examples of the batch (dim 0)": by_hand(model, x, end="over the batch"),
            },
        )

    def test_probabilities_of_an_example_sum_to_one(self, kata):
        """exp turns log-probabilities into probabilities, and each example is of exactly one class."""
        output = kata.FashionMNISTModel(D, (9,), C)(torch.randn(B, D))
        check.close(output.exp().sum(dim=1), torch.ones(B), what="exp(output) summed over the classes")

    def test_large_inputs_stay_finite(self, kata):
        """Far scores have probabilities too small for a float: softmax makes them 0, and log(0) is -inf. log_softmax
        never forms the probability."""
        model = kata.FashionMNISTModel(D, (9, 8), C)
        x = 1e4 * torch.randn(B, D)
        output = model(x)
        check.finite(output, what="output for inputs in the tens of thousands")
        check.close(output, by_hand(model, x), rtol=1e-3, atol=1e-2, what="output for inputs in the tens of thousands")

    def test_dropout_silences_hidden_values_in_training(self, kata):
        """With dropout 1.0 nothing comes through the hidden layers in training mode, so every example gets what the
        last bias says. Nothing after the last linear layer is dropped."""
        model = kata.FashionMNISTModel(D, (9, 8), C, dropout=1.0)
        x = torch.randn(B, D)
        bias = linears(model)[-1].bias.detach().double()
        expected = (bias - bias.exp().sum().log()).expand(B, C)
        check.close(
            model.train()(x),
            expected,
            what="output in training mode",
            unlike={
                "no dropout": by_hand(model, x),
                "dropout on the scores": torch.full((B, C), -math.log(C)),
            },
        )

    def test_dropout_rests_in_eval_mode(self, kata):
        """A prediction uses the whole network: in eval mode dropout passes everything on."""
        model = kata.FashionMNISTModel(D, (9, 8), C, dropout=0.9).eval()
        x = torch.randn(B, D)
        check.close(model(x), by_hand(model, x), what="output in eval mode")

    def test_dropout_follows_every_hidden_layer(self, kata):
        """Two hidden layers of one unit each pass a 1 on. With dropout 0.5 each of the two drops it or doubles it: 0 or
        4 comes out, and 4 a quarter of the time. Dropout in one place only would give 0 or 2, a third one 0 or 8."""
        model = kata.FashionMNISTModel(1, (1, 1), 2, dropout=0.5).train()
        with torch.no_grad():
            for layer in linears(model):
                layer.bias.zero_()
                layer.weight.copy_(torch.tensor([[1.0], [0.0]])[: layer.out_features])
            output = model(torch.ones(4000, 1))
        through = output[:, 0] - output[:, 1]  # log-softmax keeps differences
        values = sorted(through.mul(100).round().div(100).unique().tolist())
        check.that(values == [0.0, 4.0], f"what came through is one of {values[:8]}, expected 0 and 4")
        share = (through > 1).double().mean().item()
        check.that(0.2 < share < 0.3, f"4 came through in {share:.0%} of the examples, expected 25%")

    def test_without_hidden_layers_nothing_is_dropped(self, kata):
        """Dropout is for hidden values. The input and the scores are none."""
        model = kata.FashionMNISTModel(D, (), C, dropout=0.9).train()
        x = torch.randn(B, D)
        check.close(model(x), by_hand(model, x), what="output in training mode, no hidden layers")

    def test_nothing_is_dropped_unless_asked(self, kata):
        """The default dropout is 0: in training mode the network gives what it gives in eval mode."""
        model = kata.FashionMNISTModel(D, (9, 8), C).train()
        x = torch.randn(B, D)
        check.close(model(x), by_hand(model, x), what="output in training mode")

    def test_works_on_a_transposed_view(self, kata):
        """A picture may come transposed, its numbers not in the order of memory. `view` refuses that; flatten and
        reshape copy where they must."""
        model = kata.FashionMNISTModel(D, (9,), C)
        x = torch.randn(B, 7, 6).transpose(1, 2)
        check.close(model(x), by_hand(model, x.contiguous()))

    def test_state_dict_carries_the_network(self, kata):
        """A second network that loads the first one's state gives the same outputs, so all weights are in it."""
        first, second = kata.FashionMNISTModel(D, (9, 8), C), kata.FashionMNISTModel(D, (9, 8), C)
        second.load_state_dict(first.state_dict())
        x = torch.randn(B, D)
        check.equal(second(x).detach(), first(x).detach(), what="output of the second network")

    def test_stays_on_the_device_of_its_input(self, kata):
        """Nothing is made on the CPU on the way, so the network runs wherever its parameters are."""
        output = kata.FashionMNISTModel(D, (9,), C, dropout=0.5).to("meta")(torch.empty(B, D, device="meta"))
        check.that(output.device.type == "meta", f"the output is on {output.device}, x on meta")

    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """Moved there with its parameters, the network gives the same outputs."""
        model = kata.FashionMNISTModel(D, (9, 8), C)
        x = torch.randn(B, 1, 6, 7)
        expected = by_hand(model, x)
        output = model.cuda()(x.cuda())
        check.that(output.is_cuda, f"the output is on {output.device}, x on the GPU")
        check.close(output, expected, rtol=1e-2, atol=1e-2)


class TestTrainEpoch:
    def test_loss_and_accuracy_of_one_batch(self, kata):
        """The mean loss of the batch and the share of right answers, as the training itself meets them: before the
        update. Both are plain floats; a loss kept as a tensor keeps its whole graph in memory."""
        loader, model = batches(*examples(7), 7), one_layer()
        run, unlike = trained_in_numpy(model, loader, lr=2.0)
        got = kata.train_epoch(model, loader, nn.NLLLoss(), torch.optim.SGD(model.parameters(), lr=2.0))
        check.close(
            got,
            run.numbers,
            unlike={
                **unlike,
                "the number of right answers, not their share": (run.numbers[0], float(run.right[0])),
            },
            what="(loss, accuracy)",
        )
        kinds = [type(number).__name__ for number in got]
        check.that(all(isinstance(number, float) for number in got), f"expected two floats, got {kinds}")

    def test_weights_equal_those_of_a_loop_written_by_hand(self, kata):
        """An update after each of three batches, each along the gradient of that batch alone, with the momentum of the
        optimizer. `backward` adds to what lies in .grad, so the gradients of earlier batches have to be cleared."""
        loader, model = batches(*examples(), 4), one_layer()
        start = copy.deepcopy(model)
        how = {"lr": 0.5, "momentum": 0.7}
        kata.train_epoch(model, loader, nn.NLLLoss(), torch.optim.SGD(model.parameters(), **how))
        whole = [(torch.cat([x for x, _ in loader]), torch.cat([y for _, y in loader]))]
        known = {
            "nothing has moved": weights_of(start),
            "gradients that are not cleared: each step goes along the sum of all so far": Run(
                start, loader, **how, how="piled up"
            ).weights,
            "only the first batch": Run(start, loader[:1], **how).weights,
            "one step along the gradient of all the examples": Run(start, whole, **how).weights,
            "steps up the gradient": Run(start, loader, -0.5, 0.7).weights,
        }
        right = Run(start, loader, **how).weights
        check.close(weights_of(model), right, **EXACT, unlike=known, what="[weight, bias] after the epoch")

    def test_every_example_counts_alike(self, kata):
        """Eleven examples in batches of 4, 4 and 3: the last batch counts 3/11, not a third. So each batch's mean loss
        comes back times its size, and the sum is divided by the number of examples."""
        loader, model = batches(*examples(), 4), one_layer()
        run, unlike = trained_in_numpy(model, loader, lr=0.5)
        got = kata.train_epoch(model, loader, nn.NLLLoss(), torch.optim.SGD(model.parameters(), lr=0.5))
        check.close(got, run.numbers, unlike=unlike, what="(loss, accuracy)")

    def test_a_model_in_eval_mode_trains_in_training_mode(self, kata):
        """An evaluation may have left the model in eval mode. Dropout and batch norm have to know that training goes
        on, so the mode is set at the start of each epoch."""
        x, y = examples()
        model = Watched(one_layer()).eval()
        kata.train_epoch(model, batches(x, y, 4), nn.NLLLoss(), torch.optim.SGD(model.parameters(), lr=0.1))
        check.that(model.modes == [True] * 3, f"in training mode at each of three calls? {model.modes}")

    def test_the_model_is_called_once_a_batch(self, kata):
        """The outputs are there already when the accuracy is counted. A second forward pass costs as much as the first,
        and would describe another model: the updated one, or one with other units dropped."""
        x, y = examples()
        model = Watched(one_layer())
        kata.train_epoch(model, batches(x, y, 4), nn.NLLLoss(), torch.optim.SGD(model.parameters(), lr=0.1))
        check.equal(len(model.modes), 3, what="calls of the model for three batches")

    def test_any_iterable_of_batches_is_a_loader(self, kata):
        """A DataLoader, which gives lists, or a generator, which has no length and can be gone through once only."""
        x, y = examples()
        run = Run(one_layer(), batches(x, y, 4), lr=0.5)
        for kind in ("a DataLoader", "a generator"):
            model = one_layer()
            loader = iter(batches(x, y, 4)) if kind == "a generator" else DataLoader(TensorDataset(x, y), 4)
            got = kata.train_epoch(model, loader, nn.NLLLoss(), torch.optim.SGD(model.parameters(), lr=0.5))
            check.close(got, run.numbers, what=f"(loss, accuracy) with {kind}")

    def test_the_loss_function_is_the_one_given(self, kata):
        """loss_fn is called with outputs first, then labels, and what it says is what training follows: here twice the
        usual loss, so twice the step."""
        loader, model = batches(*examples(), 4), one_layer()
        start = copy.deepcopy(model)
        double = lambda outputs, labels: 2 * nn.functional.nll_loss(outputs, labels)  # noqa: E731
        loss, _ = kata.train_epoch(model, loader, double, torch.optim.SGD(model.parameters(), lr=0.5))
        run = Run(start, loader, lr=1.0)
        check.close(loss, 2 * run.numbers[0], what="loss")
        check.close(weights_of(model), run.weights, **EXACT, what="[weight, bias] after the epoch")

    @pytest.mark.edge
    def test_batches_are_moved_to_the_models_device(self, kata):
        """Loaders give batches on the CPU, wherever the model is: inputs and labels both have to be moved to where the
        model's parameters are."""
        check_moved(
            lambda model, loader, loss_fn: kata.train_epoch(
                model, loader, loss_fn, torch.optim.SGD(model.parameters(), lr=0.1)
            )
        )

    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """A model on the GPU is trained with batches from the CPU."""
        loader, model = batches(*examples(), 4), one_layer()
        run = Run(model, loader, lr=0.5)
        model.cuda()
        got = kata.train_epoch(model, loader, nn.NLLLoss(), torch.optim.SGD(model.parameters(), lr=0.5))
        check.close(got, run.numbers, rtol=1e-6, what="(loss, accuracy)")

    @pytest.mark.timeout(60)
    def test_five_epochs_learn_digits(self, kata):
        """On 1400 handwritten digits the loss falls from epoch to epoch, and at the end most answers are right."""
        images, labels = digits()
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))[:1400]
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10), nn.LogSoftmax(dim=1))
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        loader = batches(images[order], labels[order], 32)
        epochs = [kata.train_epoch(model, loader, nn.NLLLoss(), optimizer) for _ in range(5)]
        losses, accuracies = zip(*epochs, strict=True)
        shown = ", ".join(f"{loss:.2f}" for loss in losses)
        check.that(list(losses) == sorted(losses, reverse=True), f"the losses of five epochs do not fall: {shown}")
        check.that(accuracies[-1] > 0.85, f"accuracy in the fifth epoch is {accuracies[-1]:.2f}, expected above 0.85")

    @pytest.mark.edge
    def test_an_empty_loader_is_an_error(self, kata):
        """Nothing to train on has no mean loss. Told early, it is a message; later it is a division by zero."""
        model = one_layer()
        for loader in ([], iter(())):
            with check.raises(ValueError):
                kata.train_epoch(model, loader, nn.NLLLoss(), torch.optim.SGD(model.parameters(), lr=0.1))


class TestEvaluate:
    def test_loss_and_accuracy_count_every_example_alike(self, kata):
        """Eleven examples in batches of 4, 4 and 3 are as good as eleven in one batch: two floats, each example counts
        1/11."""
        loader, model = batches(*examples(), 4), one_layer()
        run, unlike = trained_in_numpy(model, loader)
        got = kata.evaluate(model, loader, nn.NLLLoss())
        check.close(got, run.numbers, unlike=unlike, what="(loss, accuracy)")
        kinds = [type(number).__name__ for number in got]
        check.that(all(isinstance(number, float) for number in got), f"expected two floats, got {kinds}")

    def test_the_model_is_in_eval_mode(self, kata):
        """What is measured is the model as it will be used: no dropout, batch norm with its running statistics. That is
        asked for by `model.eval()`; switching gradients off does not do it."""
        x, y = examples()
        model = Watched(with_modes()).train()
        got = kata.evaluate(model, batches(x, y, 4), nn.NLLLoss())
        check.that(model.modes == [False] * 3, f"in training mode at each of three calls? {model.modes}")
        with torch.no_grad():
            right = model.model.eval()(x)
        expected = -right[torch.arange(len(y)), y].mean().item()
        check.close(got[0], expected, rtol=1e-6, what="loss")

    def test_no_graph_is_recorded(self, kata):
        """No gradient will be asked for, so remembering how to compute one is wasted memory."""
        x, y = examples()
        model = Watched(one_layer())
        kata.evaluate(model, batches(x, y, 4), nn.NLLLoss())
        check.that(not any(model.graphs), "the outputs of the model require grad: a graph was recorded")

    def test_the_model_is_left_as_it_was(self, kata):
        """Parameters, buffers and gradients are what they were. In training mode batch norm would have moved its
        running statistics; gradients may be waiting for a step."""
        x, y = examples()
        model = with_modes()
        for p in model.parameters():
            p.grad = torch.randn_like(p)
        before, gradients = everything_in(model), [p.grad.clone() for p in model.parameters()]
        kata.evaluate(model, batches(x, y, 4), nn.NLLLoss())
        check.equal(everything_in(model), before, what="state_dict after the evaluation")
        check.that(all(p.grad is not None for p in model.parameters()), "a .grad that was there is None now")
        check.equal([p.grad for p in model.parameters()], gradients, what="gradients after the evaluation")

    def test_the_mode_is_put_back(self, kata):
        """Whoever evaluates in the middle of training wants to go on training, in all parts of the model; a model that
        came in eval mode stays there."""
        loader = batches(*examples(), 4)
        for mode in (True, False):
            model = with_modes().train(mode)
            kata.evaluate(model, loader, nn.NLLLoss())
            check_modes(model, mode, "after an evaluation")
        check.that(torch.is_grad_enabled(), "gradients are still switched off after the evaluation")

    @pytest.mark.edge
    def test_the_mode_is_put_back_after_an_error(self, kata):
        """A loss function that fails, or Ctrl-C, ends the evaluation. The model must not stay in eval mode for that: a
        notebook goes on."""

        def failing(outputs, labels):
            raise ArithmeticError("this loss function fails on purpose")

        model = with_modes().train()
        with check.raises(ArithmeticError):
            kata.evaluate(model, batches(*examples(), 4), failing)
        check_modes(model, True, "after an evaluation that ended in an exception")
        check.that(torch.is_grad_enabled(), "gradients are still switched off after the exception")

    def test_any_iterable_of_batches_is_a_loader(self, kata):
        """A DataLoader, which gives lists, or a generator, which has no length and can be gone through once only."""
        x, y = examples()
        expected = Run(one_layer(), batches(x, y, 4)).numbers
        for kind, loader in (
            ("a DataLoader", DataLoader(TensorDataset(x, y), 4)),
            ("a generator", (batch for batch in batches(x, y, 4))),
        ):
            got = kata.evaluate(one_layer(), loader, nn.NLLLoss())
            check.close(got, expected, what=f"(loss, accuracy) with {kind}")

    @pytest.mark.edge
    def test_batches_are_moved_to_the_models_device(self, kata):
        """Loaders give batches on the CPU, wherever the model is: inputs and labels both have to be moved."""
        check_moved(kata.evaluate)

    @pytest.mark.edge
    def test_an_empty_loader_is_an_error(self, kata):
        """Nothing to evaluate has no mean loss, and the model is in its mode again."""
        model = with_modes().train()
        for loader in ([], iter(())):
            with check.raises(ValueError):
                kata.evaluate(model, loader, nn.NLLLoss())
        check_modes(model, True, "after the error")


def net(value=0.0):
    """A small model with a buffer, all of its numbers at `value`."""
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    return set_to(model, value)


def set_to(model, value):
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(value)
    return model


def told(stopper, losses):
    """What the stopper answers to these losses; in epoch i the model's numbers are all i."""
    model = net()
    return [stopper.step(loss, set_to(model, float(i))) for i, loss in enumerate(losses)]


def record(stopper):
    return {name: getattr(stopper, name) for name in ("best_loss", "best_epoch", "bad_epochs")}


class TestEarlyStopping:
    def test_starts_with_nothing(self, kata):
        """Before the first epoch there is no best one: any loss is below inf, and -1 is no epoch."""
        stopper = kata.EarlyStopping()
        check.equal(record(stopper), {"best_loss": math.inf, "best_epoch": -1, "bad_epochs": 0})
        check.that(stopper.best_state is None, f"best_state is {check.describe(stopper.best_state)}, expected None")

    def test_remembers_the_best_epoch(self, kata):
        """After 0.9, 1.0, 0.7, 0.8 the third call was the best one, number 2 counted from 0, and one epoch since then
        was none. Every call is an epoch, an improvement or not."""
        stopper = kata.EarlyStopping(patience=5)
        told(stopper, [0.9, 1.0, 0.7, 0.8])
        check.equal(
            record(stopper),
            {"best_loss": 0.7, "best_epoch": 2, "bad_epochs": 1},
            unlike={
                "the last epoch taken for the best": {"best_loss": 0.8, "best_epoch": 3, "bad_epochs": 0},
                "epochs counted from 1": {"best_loss": 0.7, "best_epoch": 3, "bad_epochs": 1},
                "improvements counted, not calls": {"best_loss": 0.7, "best_epoch": 1, "bad_epochs": 1},
            },
        )

    def test_stops_when_patience_has_run_out(self, kata):
        """The answer is True in the call that makes bad_epochs reach patience, not one later: with patience 2 the
        second bad epoch in a row ends the training."""
        for patience in (1, 2, 3):
            got = told(kata.EarlyStopping(patience), [0.5, 0.6, 0.6, 0.6])
            right = [False] * patience + [True] * (4 - patience)
            late, early = [False, *right[:-1]], [*right[1:], True]
            known = {"one epoch too late: bad_epochs > patience": late, "one epoch too early": early}
            name = next((f"; looks like {name}" for name, answers in known.items() if answers == got), "")
            case = f"patience {patience}, losses 0.5, 0.6, 0.6, 0.6"
            check.that(got == right, f"{case}: answers {got}, expected {right}{name}")

    def test_an_improvement_starts_the_count_anew(self, kata):
        """Bad epochs count in a row: an improvement sets them back to 0, and the answer to False even after a True."""
        got = told(kata.EarlyStopping(2), [0.9, 1.0, 0.8, 0.9, 0.7, 0.9, 0.9, 0.6, 0.9])
        right = [False] * 6 + [True, False, False]
        check.equal(got, right, what="answers to 0.9, 1.0, 0.8, 0.9, 0.7, 0.9, 0.9, 0.6, 0.9 with patience 2")

    def test_measures_against_the_best_loss(self, kata):
        """0.5, 0.9, 0.7: the last is better than the one before, and worse than the best. It is no improvement."""
        stopper = kata.EarlyStopping(patience=2)
        got = told(stopper, [0.5, 0.9, 0.7])
        check.equal(
            record(stopper),
            {"best_loss": 0.5, "best_epoch": 0, "bad_epochs": 2},
            unlike={
                "measured against the epoch before": {"best_loss": 0.7, "best_epoch": 2, "bad_epochs": 0},
            },
        )
        check.equal(got, [False, False, True], what="answers")

    def test_small_gains_do_not_count(self, kata):
        """With min_delta 0.1 a loss has to fall below best_loss - 0.1. From 1.0, 0.95 is not enough; 0.8 is; from
        there 0.75 and 0.72 are not."""
        stopper = kata.EarlyStopping(patience=2, min_delta=0.1)
        got = told(stopper, [1.0, 0.95, 0.8, 0.75, 0.72])
        check.equal(
            record(stopper),
            {"best_loss": 0.8, "best_epoch": 2, "bad_epochs": 2},
            unlike={
                "min_delta is not used": {"best_loss": 0.72, "best_epoch": 4, "bad_epochs": 0},
                "best_loss follows small gains, too": {"best_loss": 0.72, "best_epoch": 4, "bad_epochs": 2},
            },
        )
        check.equal(got, [False, False, False, False, True], what="answers")

    def test_small_gains_add_up(self, kata):
        """0.94 and 0.88 are each less than 0.1 below the epoch before, yet 0.88 is 0.12 below the best: slow progress
        is progress, since best_loss has stayed at 1.0."""
        stopper = kata.EarlyStopping(patience=2, min_delta=0.1)
        got = told(stopper, [1.0, 0.94, 0.88])
        check.equal(record(stopper), {"best_loss": 0.88, "best_epoch": 2, "bad_epochs": 0})
        check.equal(got, [False, False, False], what="answers")

    def test_an_equal_loss_is_no_improvement(self, kata):
        """With `<=` a model that has stopped learning would train for ever."""
        stopper = kata.EarlyStopping(patience=2)
        got = told(stopper, [0.5, 0.5, 0.5])
        check.equal(record(stopper), {"best_loss": 0.5, "best_epoch": 0, "bad_epochs": 2})
        check.equal(got, [False, False, True], what="answers")

    def test_nan_is_never_an_improvement(self, kata):
        """Every comparison with NaN is False. Ask whether the loss is better, not whether it is worse; once NaN were
        the best, nothing could beat it."""
        stopper = kata.EarlyStopping(patience=2)
        got = told(stopper, [math.nan, 0.5, math.nan, math.nan])
        check.equal(record(stopper), {"best_loss": 0.5, "best_epoch": 1, "bad_epochs": 2})
        check.equal(got, [False, False, False, True], what="answers to nan, 0.5, nan, nan")

    def test_the_state_of_the_best_epoch_is_kept(self, kata):
        """best_state is the whole state_dict of that epoch: parameters and buffers, such as the running statistics of
        batch norm. It is a copy. `state_dict()` hands out the model's own tensors, which go on changing."""
        stopper = kata.EarlyStopping()
        told(stopper, [0.9, 0.7, 0.8])
        state = stopper.best_state
        known = everything_in(net(1.0))
        holds = sorted(state or [])
        check.that(holds == sorted(known), f"best_state holds {holds}, the state_dict of the model {sorted(known)}")
        last = everything_in(net(2.0))
        for name, value in known.items():
            unlike = {"the last epoch's: the state is no copy, and was trained on": last[name]}
            check.equal(state[name], value, unlike=unlike, what=f"best_state[{name!r}]")

    def test_restore_brings_the_best_state_back(self, kata):
        """In place, into the model given: its parameters, which an optimizer may hold, remain the same objects."""
        stopper = kata.EarlyStopping()
        told(stopper, [0.9, 0.7, 0.8])
        model = net(5.0)
        parameters = list(model.parameters())
        stopper.restore(model)
        check.equal(everything_in(model), everything_in(net(1.0)), what="state_dict after restore")
        same = all(p is q for p, q in zip(model.parameters(), parameters, strict=True))
        check.that(same, "the model has other parameters than before")

    def test_restore_can_be_repeated(self, kata):
        """The stored state outlives a restore, even if the restored model is trained on."""
        stopper = kata.EarlyStopping()
        told(stopper, [0.9, 0.7])
        model = net()
        for _ in range(2):
            stopper.restore(model)
            check.equal(everything_in(model), everything_in(net(1.0)), what="state_dict after restore")
            set_to(model, 8.0)

    def test_three_epochs_and_any_gain_unless_told(self, kata):
        """patience is 3 and min_delta 0: the smallest gain counts, and the third bad epoch is the last."""
        got = told(kata.EarlyStopping(), [0.5, 0.4999, 0.6, 0.6, 0.6])
        check.equal(got, [False, False, False, False, True], what="answers to 0.5, 0.4999, 0.6, 0.6, 0.6")

    @pytest.mark.edge
    def test_nothing_to_restore_is_an_error(self, kata):
        """Without an improvement there is no best state: no call of `step` so far, or nothing but NaN."""
        stopper = kata.EarlyStopping()
        with check.raises(RuntimeError):
            stopper.restore(net())
        told(stopper, [math.nan])
        with check.raises(RuntimeError):
            stopper.restore(net())

    @pytest.mark.edge
    def test_patience_and_min_delta_make_sense(self, kata):
        """Patience 0 would stop before the first bad epoch, and a negative min_delta would call a rising loss
        better."""
        for options in ({"patience": 0}, {"patience": -1}, {"min_delta": -0.1}):
            with check.raises(ValueError):
                kata.EarlyStopping(**options)


PROBABILITIES = [  # one row an example; the labels beside them
    ([0.7, 0.2, 0.1], 0),
    ([0.5, 0.4, 0.1], 1),  # wrong with 0.5
    ([0.1, 0.3, 0.6], 2),
    ([0.05, 0.9, 0.05], 2),  # wrong with 0.9
    ([0.3, 0.25, 0.45], 0),  # wrong with 0.45
    ([0.2, 0.75, 0.05], 1),
    ([0.8, 0.15, 0.05], 2),  # wrong with 0.8
]


class Lookup(nn.Module):
    """Answers for image i with row i of a table of log-probabilities; notes how many images it got and in which
    mode."""

    def __init__(self, probabilities):
        super().__init__()
        self.table = nn.Parameter(torch.tensor(probabilities).log())
        self.sizes, self.modes, self.graphs = Notes(), Notes(), Notes()

    def forward(self, images):
        output = self.table[images[:, 0, 0, 0].long()]
        self.sizes.append(len(images)), self.modes.append(self.training), self.graphs.append(output.requires_grad)
        return output


def seven_examples():
    rows, labels = zip(*PROBABILITIES, strict=True)
    return Lookup(rows), numbered(len(rows)), torch.tensor(labels)


def numbered(n):
    """n images (n, 1, 2, 2) that hold their own number."""
    return torch.arange(n, dtype=torch.float32).reshape(n, 1, 1, 1).expand(n, 1, 2, 2).clone()


MISTAKES = {
    "index": torch.tensor([3, 6, 1, 4]),
    "predicted": torch.tensor([1, 0, 0, 2]),
    "target": torch.tensor([2, 2, 1, 0]),
    "confidence": torch.tensor([0.9, 0.8, 0.5, 0.45]),
}


class TestMisclassified:
    def test_the_surest_mistakes_come_first(self, kata):
        """Four of seven answers are wrong. They are listed by the probability that the model gave to its wrong answer,
        the highest first: where it was sure and wrong there is most to learn."""
        got = kata.misclassified(*seven_examples())
        true_class = {**MISTAKES, "confidence": torch.tensor([0.05, 0.05, 0.4, 0.3])}
        check.close(
            got,
            MISTAKES,
            unlike={
                "the least sure first": {name: values.flip(0) for name, values in MISTAKES.items()},
                "in the order of the images": {name: values[[2, 0, 3, 1]] for name, values in MISTAKES.items()},
                "the probability of the true class": true_class,
                "the log-probability: exp is missing": {**MISTAKES, "confidence": MISTAKES["confidence"].log()},
            },
        )

    def test_at_most_k_of_them(self, kata):
        """k cuts the list off behind the surest ones. A k above the number of mistakes gives all, and 0 gives none."""
        for k in (1, 3, 4, 9, 0, None):
            expected = {name: values[:k] for name, values in MISTAKES.items()}
            got = kata.misclassified(*seven_examples(), k=k)
            check.close(got, expected, what=f"with k={k}: ")

    def test_equal_confidences_keep_the_order_of_the_images(self, kata):
        """Of forty mistakes of the same confidence the lower index comes first, so that the list is the same each time;
        `topk` and a flipped sort do not promise that."""
        n = 40
        model, images, labels = Lookup([[0.6, 0.3, 0.1]] * n), numbered(n), torch.ones(n, dtype=torch.int64)
        for k in (None, 7):
            got = kata.misclassified(model, images, labels, k=k, batch_size=16)
            check.equal(got["index"], torch.arange(n)[:k], what=f"index with k={k}")

    def test_not_too_many_images_at_once(self, kata):
        """A data set may not fit through the model in one piece, so it gets at most batch_size images a call, and the
        result does not depend on it; the last batch may be smaller."""
        for batch_size in (1, 2, 3, 7, 100):
            model, images, labels = seven_examples()
            got = kata.misclassified(model, images, labels, batch_size=batch_size)
            check.close(got, MISTAKES, what=f"with batch_size={batch_size}: ")
            largest = max(model.sizes)
            check.that(largest <= batch_size, f"batch_size={batch_size}, and the model got {largest} images at once")

    def test_256_images_at_once_unless_told(self, kata):
        """The default batch_size."""
        n = 300
        model = Lookup([[0.6, 0.4]] * n)
        kata.misclassified(model, numbered(n), torch.zeros(n, dtype=torch.int64))
        check.that(max(model.sizes) == 256, f"the largest of the model's batches had {max(model.sizes)} images")

    def test_dtypes(self, kata):
        """Places and classes are int64 like labels, so that they can index; a probability is a float."""
        got = kata.misclassified(*seven_examples())
        for name in ("index", "predicted", "target"):
            check.dtype(got[name], torch.int64, what=name)
        check.dtype(got["confidence"], torch.float32, what="confidence")

    def test_in_eval_mode_and_without_a_graph(self, kata):
        """Answers as they will be given: no dropout, and nothing recorded for a gradient."""
        model, images, labels = seven_examples()
        got = kata.misclassified(model.train(), images, labels)
        check.that(not any(model.modes), "the model was called in training mode")
        check.that(not any(model.graphs), "the outputs of the model require grad: a graph was recorded")
        check.that(not got["confidence"].requires_grad, "confidence carries a graph")

    @pytest.mark.edge
    def test_the_mode_is_put_back(self, kata):
        """As in `evaluate`: training goes on as training, also if the model fails on the way."""
        for mode in (True, False):
            model, images, labels = seven_examples()
            wrapped = nn.Sequential(model, nn.Dropout(0.5)).train(mode)
            kata.misclassified(wrapped, images, labels)
            check_modes(wrapped, mode, "after the search")
        wrapped.train()
        with check.raises(IndexError):
            kata.misclassified(wrapped, images + 100, labels)  # the table has no such row
        check_modes(wrapped, True, "after an exception in the model")

    def test_no_mistakes_give_empty_tensors(self, kata):
        """A perfect model has no mistakes to show: four tensors of length 0, of the usual dtypes."""
        model, images, labels = seven_examples()
        right = model.table.detach().argmax(dim=1)
        for k in (None, 5):
            got = kata.misclassified(model, images, right, k=k)
            for name in MISTAKES:
                check.shape(got[name], (0,), what=name)
            check.dtype(got["index"], torch.int64, what="index")

    def test_images_and_labels_stay_as_they_are(self, kata):
        """They are only looked at."""
        model, images, labels = seven_examples()
        with check.unchanged(images=images, labels=labels):
            kata.misclassified(model, images, labels)


class Seesaw(nn.Module):
    """Two classes, one weight: the probability of class 0 grows with it."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def forward(self, x):
        return torch.stack([self.weight * x, 0 * x], dim=1).log_softmax(dim=1)


def tilted():
    """Data on which `Seesaw` overfits: in training class 0 is always right, in validation three times out of four. So
    the weight grows for ever, and beyond log 3 = 1.1 the validation loss grows with it. With SGD at lr 0.5."""
    x = torch.ones(4, dtype=torch.float64)
    return [(x, torch.tensor([0, 0, 0, 0]))], [(x, torch.tensor([0, 0, 1, 0]))]


def tilted_by_hand(epochs):
    """The weight after each epoch, and its validation loss."""
    weights, w = [], 0.0
    for _ in range(epochs):
        w += 0.5 / (1 + math.exp(w))
        weights.append(w)
    return weights, [math.log(1 + math.exp(-w)) + w / 4 for w in weights]


def fit_tilted(kata, epochs, **options):
    model = Seesaw()
    history = kata.fit(model, *tilted(), torch.optim.SGD(model.parameters(), lr=0.5), epochs, **options)
    return model, history


@pytest.mark.stretch
class TestFit:
    def test_one_entry_an_epoch(self, kata):
        """Four lists of floats, as long as epochs were run."""
        _, history = fit_tilted(kata, 3)
        names = ["train_loss", "train_acc", "val_loss", "val_acc"]
        right = isinstance(history, dict) and sorted(history) == sorted(names)
        check.that(right, f"got {check.describe(history)}, expected a dict with the keys {names}")
        for name in names:
            values = history[name]
            check.equal(len(values), 3, what=f"length of {name} after three epochs")
            floats = all(isinstance(value, float) for value in values)
            check.that(floats, f"{name} should hold floats, it is {check.describe(values)}")

    def test_numbers_equal_a_loop_written_by_hand(self, kata):
        """Training first, then validation of what came out, epoch by epoch on the same model and optimizer. The loss is
        NLL unless another is given."""
        x, y = examples(19)
        train, val = batches(x[:11], y[:11], 4), batches(x[11:], y[11:], 5)
        model, hand = one_layer(), one_layer()
        expected = {"train_loss": [], "train_acc": [], "val_loss": [], "val_acc": []}
        for _ in range(3):
            run = Run(hand, train, lr=0.5)
            hand.load_state_dict(dict(zip(hand.state_dict(), run.weights, strict=True)))
            for name, numbers in (("train", run.numbers), ("val", Run(hand, val).numbers)):
                expected[f"{name}_loss"].append(numbers[0])
                expected[f"{name}_acc"].append(numbers[1])
        history = kata.fit(model, train, val, torch.optim.SGD(model.parameters(), lr=0.5), 3)
        check.close(
            history,
            expected,
            unlike={
                "loss and accuracy exchanged": {"train_loss": expected["train_acc"], "val_loss": expected["val_acc"]},
                "training and validation exchanged": {
                    "train_loss": expected["val_loss"],
                    "train_acc": expected["val_acc"],
                },
            },
        )
        check.close(weights_of(model), run.weights, **EXACT, what="[weight, bias] after three epochs")

    def test_another_loss_may_be_given(self, kata):
        """It is used in training and in validation alike: here ten times the usual one."""
        ten = lambda outputs, labels: 10 * nn.functional.nll_loss(outputs, labels)  # noqa: E731
        model = Seesaw()
        history = kata.fit(model, *tilted(), torch.optim.SGD(model.parameters(), lr=0.05), 2, loss_fn=ten)
        weights, val_losses = tilted_by_hand(2)
        check.close(history["val_loss"], [10 * loss for loss in val_losses], what="val_loss")
        train_losses = [10 * math.log(1 + math.exp(-w)) for w in (0.0, weights[0])]
        check.close(history["train_loss"], train_losses, what="train_loss")

    def test_stops_when_patience_has_run_out(self, kata):
        """The training loss falls for ever, the validation loss rises after a while. Early stopping watches the latter,
        and the epoch that it says True to is the last: best_epoch + patience."""
        _, losses = tilted_by_hand(40)
        best = losses.index(min(losses))
        for patience in (1, 3):
            stopper = kata.EarlyStopping(patience)
            _, history = fit_tilted(kata, 40, early_stopping=stopper)
            check.close(history["val_loss"], losses[: best + patience + 1], what=f"val_loss with patience {patience}")
            check.equal(stopper.best_epoch, best, what="best_epoch")

    def test_the_best_weights_are_back_after_a_stop(self, kata):
        """The last epochs before the stop were the bad ones; nobody wants their weights."""
        weights, losses = tilted_by_hand(40)
        best = losses.index(min(losses))
        model, _ = fit_tilted(kata, 40, early_stopping=kata.EarlyStopping(4))
        check.close(
            model.weight.item(),
            weights[best],
            what="weight after fit",
            unlike={
                "the weights of the last epoch": weights[best + 4],
            },
        )

    def test_the_best_weights_are_back_without_a_stop(self, kata):
        """If the epochs run out before the patience does, the last ones may still have been bad."""
        weights, losses = tilted_by_hand(40)
        best = losses.index(min(losses))
        model, history = fit_tilted(kata, best + 3, early_stopping=kata.EarlyStopping(30))
        check.equal(len(history["val_loss"]), best + 3, what="number of epochs")
        check.close(
            model.weight.item(),
            weights[best],
            what="weight after fit",
            unlike={
                "the weights of the last epoch": weights[best + 2],
            },
        )

    def test_without_early_stopping_all_epochs_run(self, kata):
        """And the model keeps its last weights, whatever the validation loss did."""
        weights, losses = tilted_by_hand(20)
        model, history = fit_tilted(kata, 20)
        check.close(history["val_loss"], losses, what="val_loss")
        check.close(model.weight.item(), weights[-1], what="weight after fit")

    def test_training_mode_returns_after_each_validation(self, kata):
        """Every epoch trains in training mode, also the second, after the validation of the first."""
        x, y = examples()
        model = Watched(one_layer()).eval()
        kata.fit(model, batches(x, y, 11), batches(x, y, 11), torch.optim.SGD(model.parameters(), lr=0.1), 3)
        check.equal(model.modes, [True, False] * 3, what="in training mode? Training and validation in turn")

    @pytest.mark.edge
    def test_no_epochs_do_nothing(self, kata):
        """Four empty lists and a model as it was. An early stopping that has seen nothing has nothing to restore."""
        for stopper in (None, kata.EarlyStopping()):
            model, history = fit_tilted(kata, 0, early_stopping=stopper)
            check.equal(history, {"train_loss": [], "train_acc": [], "val_loss": [], "val_acc": []})
            check.equal(model.weight.item(), 0.0, what="weight after no epochs")

    @pytest.mark.edge
    def test_a_run_of_nan_ends_without_an_error(self, kata):
        """If no epoch was an improvement there are no best weights, and the model keeps the last ones."""
        broken = lambda outputs, labels: nn.functional.nll_loss(outputs, labels) * math.nan  # noqa: E731
        _, history = fit_tilted(kata, 9, early_stopping=kata.EarlyStopping(2), loss_fn=broken)
        check.equal(len(history["val_loss"]), 2, what="epochs until patience 2 has run out")


def small_data():
    """Pictures (20, 1, 2, 3) for training and (9, 1, 2, 3) for validation, with labels 0, 1 and 3: four classes."""
    random = np.random.default_rng(7)
    labels = random.integers(0, 3, size=29)
    images = random.normal(size=(29, 1, 2, 3)) + labels[:, None, None, None] * [1.0, -1.0, 0.5]
    x, y = torch.tensor(images, dtype=torch.float32), torch.tensor(np.where(labels == 2, 3, labels))
    return (x[:20], y[:20]), (x[20:], y[20:].clamp(max=1))


def orders(kata, configs, **options):
    """The numbers of the examples in each training batch of two epochs, for each network: the networks are stand-ins
    that draw as many random weights as hidden_dims says, and note what they get."""
    made = []

    class Notes(nn.Module):
        def __init__(self, input_dim=784, hidden_dims=(), num_classes=10, dropout=0.0):
            super().__init__()
            self.weight, self.seen = nn.Parameter(torch.randn(input_dim * sum(hidden_dims))), []
            made.append(self)

        def forward(self, x):
            if self.training:
                self.seen.append(x.flatten().long().tolist())
            return torch.stack([0 * x.flatten(), self.weight[0] * x.flatten()], dim=1).log_softmax(dim=1)

    images, labels = torch.arange(20.0).reshape(20, 1, 1, 1), torch.arange(20) % 2
    with mock.patch.object(kata, "FashionMNISTModel", Notes):
        kata.compare_depths((images, labels), (images[:3], labels[:3]), configs, epochs=2, **options)
    return [model.seen for model in made]


def by_torch(model, x):
    """The forward pass of a network with one hidden layer, for gradients."""
    first, last = linears(model)
    scores = (x.flatten(1) @ first.weight.T + first.bias).clamp(min=0) @ last.weight.T + last.bias
    return scores - scores.logsumexp(dim=1, keepdim=True)


def adam_by_hand(kata, seed, epochs, loader, val, lr):
    """Validation losses of a network with 5 hidden units that is built right after the seed and trained with Adam."""
    torch.manual_seed(seed)
    model = kata.FashionMNISTModel(6, (5,), 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            (-by_torch(model, x)[torch.arange(len(y)), y].mean()).backward()
            optimizer.step()
        losses.append(-by_hand(model, val[0])[torch.arange(len(val[1])), val[1]].mean().item())
    return losses


@pytest.mark.stretch
class TestCompareDepths:
    def test_one_dict_for_each_network(self, kata):
        """In the order of hidden_configs, with what is needed to compare: the layers, as a tuple whatever they came as,
        how large the network is and what it came to."""
        got = kata.compare_depths(*small_data(), [[5], (4, 3), ()], epochs=2)
        check.that(isinstance(got, list) and len(got) == 3, f"expected a list of 3 dicts, got {check.describe(got)}")
        for result in got:
            keys = ["hidden_dims", "num_parameters", "val_loss", "val_acc", "history"]
            right = isinstance(result, dict) and sorted(result) == sorted(keys)
            check.that(right, f"got {check.describe(result)}, expected a dict with the keys {keys}")
        check.equal([result["hidden_dims"] for result in got], [(5,), (4, 3), ()], what="hidden_dims")

    def test_parameters_are_counted(self, kata):
        """Every weight and every bias. The input is as wide as one training image, 2·3 pixels, and there is a class for
        every label up to the largest, 3: four, though no picture shows class 2."""
        got = kata.compare_depths(*small_data(), [(5,), (4, 3), ()], epochs=1)
        expected = [(6 + 1) * 5 + (5 + 1) * 4, (6 + 1) * 4 + (4 + 1) * 3 + (3 + 1) * 4, (6 + 1) * 4]
        check.equal(
            [result["num_parameters"] for result in got],
            expected,
            what="num_parameters",
            unlike={
                "weights without biases": [50, 48, 24],
            },
        )

    def test_results_are_those_of_the_last_epoch(self, kata):
        """val_loss and val_acc are the last entries of the history that `fit` returned, which has one an epoch. With so
        many epochs the best one may lie earlier; networks are compared after the same training."""
        for result in kata.compare_depths(*small_data(), [(9,), (9, 9)], epochs=60, lr=0.05):
            history = result["history"]
            lengths = {"train_loss": 60, "train_acc": 60, "val_loss": 60, "val_acc": 60}
            check.equal({name: len(values) for name, values in history.items()}, lengths, what="lengths in history")
            for name in ("val_loss", "val_acc"):
                check.equal(result[name], history[name][-1], what=name)

    def test_the_network_starts_from_the_seed(self, kata):
        """torch.manual_seed(seed), then the model, then Adam at lr. In one batch of all the examples their order cannot
        matter, so the losses are known."""
        train, val = small_data()
        got = kata.compare_depths(train, val, [(5,)], epochs=4, batch_size=20, lr=0.02, seed=3)
        expected = adam_by_hand(kata, 3, 4, [train], val, 0.02)
        check.close(got[0]["history"]["val_loss"], expected, rtol=1e-3, what="val_loss of each epoch")

    def test_a_result_does_not_depend_on_its_place(self, kata):
        """Each network has the same start and the same order of batches, whoever was trained before it: the seed is set
        for each anew, and so is the generator that shuffles."""
        data, configs = small_data(), [(5,), (4, 3)]
        forwards = kata.compare_depths(*data, configs, epochs=3, batch_size=6, lr=0.02)
        backwards = kata.compare_depths(*data, configs[::-1], epochs=3, batch_size=6, lr=0.02)
        for here, there in zip(forwards, backwards[::-1], strict=True):
            what = f"val_loss of {here['hidden_dims']}, with the configs in the other order"
            check.close(there["history"]["val_loss"], here["history"]["val_loss"], rtol=1e-3, what=what)

    def test_the_data_are_shuffled(self, kata):
        """Data often come sorted, and batches of neighbours teach badly. So every epoch goes once through all the
        examples, in batches of batch_size, and not in the order of the data."""
        [batches] = orders(kata, [(5,)], batch_size=6)
        check.equal([len(batch) for batch in batches], [6, 6, 6, 2] * 2, what="sizes of the batches of two epochs")
        for epoch in (batches[:4], batches[4:]):
            order = [number for batch in epoch for number in batch]
            check.equal(sorted(order), list(range(20)), what="examples of an epoch, sorted")
            check.that(order != sorted(order), "the examples came in the order of the data: nothing was shuffled")

    def test_all_networks_meet_the_same_batches(self, kata):
        """A generator of its own shuffles for each network. The global one has drawn the weights before, more of them
        for a larger network, and would go on with another order."""
        first, second = orders(kata, [(5,), (4, 3)], batch_size=6)
        check.that(first == second, "the second network met other batches than the first")

    def test_another_seed_is_another_order(self, kata):
        """The seed decides on the order of the examples, too: a generator that is not seeded has the same one each
        time."""
        first, second = (orders(kata, [(5,)], batch_size=6, seed=seed) for seed in (1, 2))
        check.that(first != second, "two seeds shuffle the data alike")

    def test_seed_and_batch_size_make_a_difference(self, kata):
        """Another seed is another start; batches of another size are other steps."""
        train, val = small_data()
        runs = {
            name: kata.compare_depths(train, val, [(5,)], epochs=3, lr=0.02, **options)[0]["history"]["val_loss"]
            for name, options in {"": {}, "seed": {"seed": 1}, "batch_size": {"batch_size": 3}}.items()
        }
        for name in ("seed", "batch_size"):
            largest = max(abs(a - b) for a, b in zip(runs[name], runs[""], strict=True))
            check.that(largest > 1e-5, f"another {name} changes nothing")

    def test_two_depths_and_five_epochs_unless_told(self, kata):
        """The defaults compare two hidden layers with three, at Adam's usual rate of 0.001."""
        (images, labels), val = small_data()
        defaults = {"epochs": 5, "batch_size": 64, "lr": 1e-3, "seed": 0}
        for n in (64, 65):  # one batch of 64, and two
            train = torch.cat([images] * 4)[:n], torch.cat([labels] * 4)[:n]
            got = kata.compare_depths(train, val)
            check.equal([result["hidden_dims"] for result in got], [(128, 64), (128, 64, 32)], what="hidden_dims")
            told = kata.compare_depths(train, val, ((128, 64), (128, 64, 32)), **defaults)
            for one, other in zip(got, told, strict=True):
                what = f"val_loss of {one['hidden_dims']} on {n} examples, compared with {defaults}: "
                check.close(one["history"]["val_loss"], other["history"]["val_loss"], rtol=1e-3, what=what)

    @pytest.mark.timeout(60)
    def test_both_depths_learn_digits(self, kata):
        """Five epochs on 1400 digits, and either network reads most of the 397 others correctly."""
        images, labels = digits()
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
        train, val = ((images[part], labels[part]) for part in (order[:1400], order[1400:]))
        for result in kata.compare_depths(train, val, batch_size=32, lr=3e-3):
            reached = f"{result['hidden_dims']} reaches an accuracy of {result['val_acc']:.2f} on new digits"
            check.that(result["val_acc"] >= 0.88, f"{reached}, expected 0.88 or more")


def idx(array, kind=8, order=">"):
    """The bytes of an IDX file."""
    return bytes([0, 0, kind, array.ndim]) + struct.pack(f"{order}{array.ndim}I", *array.shape) + array.tobytes()


def pictures():
    """300 pictures of 3×2 pixels: 300 is more than fits one byte, so the order of the bytes of a size shows."""
    return np.random.default_rng(9).integers(0, 256, size=(300, 3, 2), dtype=np.uint8)


@pytest.mark.stretch
class TestReadIdx:
    def test_pictures_come_back(self, kata, tmp_path):
        """Three sizes, then the pixels, row by row. A size is four bytes, the most significant first: 300 is
        00 00 01 2c. Read the other way round it is over 700 million."""
        array = pictures()
        file = tmp_path / "pictures.idx"
        file.write_bytes(idx(array))
        check.equal(kata.read_idx(file), torch.tensor(array))

    def test_labels_come_back(self, kata, tmp_path):
        """One size only, so the header has 8 bytes and not 16: the fourth byte says how many sizes there are. The path
        may be a str."""
        array = pictures()[:, 0, 0] % 10
        file = tmp_path / "labels.idx"
        file.write_bytes(idx(array))
        check.equal(kata.read_idx(str(file)), torch.tensor(array))

    def test_packed_files_are_unpacked(self, kata, tmp_path):
        """The files are distributed packed by gzip. The first two bytes, 1f 8b, say so; a name can be wrong."""
        array = pictures()
        for name, content in (
            ("packed.gz", gzip.compress(idx(array))),
            ("packed.idx", gzip.compress(idx(array))),
            ("plain.gz", idx(array)),
        ):
            file = tmp_path / name
            file.write_bytes(content)
            check.equal(kata.read_idx(file), torch.tensor(array), what=f"content of {name}")

    def test_the_memory_is_its_own(self, kata, tmp_path):
        """Python's bytes may not be written to, and a tensor on top of them would do so: PyTorch warns, once. A copy,
        or a bytearray, is safe. Writing to the tensor changes neither the file nor the next reading."""
        array = pictures()
        file = tmp_path / "pictures.idx"
        file.write_bytes(idx(array))
        always = torch.is_warn_always_enabled()
        torch.set_warn_always(True)
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                tensor = kata.read_idx(file)
        finally:
            torch.set_warn_always(always)
        said = [str(w.message).split(".")[0] for w in caught if issubclass(w.category, UserWarning)]
        check.that(not said, f"a warning: {said[0] if said else ''}")
        tensor.fill_(7)
        check.equal(kata.read_idx(file), torch.tensor(array), what="what a second reading gives")

    def test_the_given_loader_builds_on_it(self, kata, tmp_path):
        """`load_fashion_mnist` reads two files through `read_idx` and gives pictures with a channel, from 0 to 1, and
        labels as int64."""
        array = pictures()
        for name, content in (("t10k-images-idx3-ubyte.gz", array), ("t10k-labels-idx1-ubyte.gz", array[:, 0, 0] % 10)):
            (tmp_path / name).write_bytes(gzip.compress(idx(content)))
        images, labels = kata.load_fashion_mnist(tmp_path, "test")
        check.close(images, torch.tensor(array).unsqueeze(1).double() / 255, what="images")
        check.equal(labels, torch.tensor(array[:, 0, 0] % 10).long(), what="labels")

    @pytest.mark.edge
    def test_a_truncated_payload_is_an_error(self, kata, tmp_path):
        """A broken download must not become a smaller data set, or a puzzling error from `reshape`. The message names
        the file, says "truncated", and how many bytes there should be and are."""
        file = tmp_path / "pictures.idx"
        for there in (1467, 0):
            file.write_bytes(idx(pictures())[: 16 + there])
            with check.raises(ValueError, "pictures.idx", "truncated", 1800, there):
                kata.read_idx(file)

    @pytest.mark.edge
    def test_a_truncated_header_is_an_error(self, kata, tmp_path):
        """It may end within the sizes, within the first four bytes, or before it began: an empty file."""
        file = tmp_path / "pictures.idx"
        for length in (15, 8, 4, 3, 0):
            file.write_bytes(idx(pictures())[:length])
            with check.raises(ValueError, "pictures.idx", "truncated"):
                kata.read_idx(file)

    @pytest.mark.edge
    def test_a_cut_gzip_stream_is_an_error(self, kata, tmp_path):
        """gzip says EOFError when its stream ends too early, wherever that is. Whoever calls this function waits for a
        ValueError that names the file."""
        content = gzip.compress(idx(pictures()))
        file = tmp_path / "pictures.gz"
        for length in (len(content) - 1, len(content) - 8, len(content) // 2, 12, 5, 2):
            file.write_bytes(content[:length])
            with check.raises(ValueError, "pictures.gz", "truncated"):
                kata.read_idx(file)

    @pytest.mark.edge
    def test_bytes_left_over_are_an_error(self, kata, tmp_path):
        """Sizes and elements have to agree: bytes too many mean that the header is wrong, and so is every picture."""
        file = tmp_path / "pictures.idx"
        for content in (idx(pictures()) + b"\0", gzip.compress(idx(pictures()) + b"more")):
            file.write_bytes(content)
            with check.raises(ValueError, "pictures.idx"):
                kata.read_idx(file)

    @pytest.mark.edge
    def test_another_beginning_is_an_error(self, kata, tmp_path):
        """The first two bytes of an IDX file are zero, both. Other files begin otherwise, and so do IDX files that were
        damaged on the way."""
        array = pictures()[:, 0, 0]
        file = tmp_path / "labels.idx"
        for begin in (b"\x01\x00", b"\x00\x01", b"PK"):
            file.write_bytes(begin + idx(array)[2:])
            with check.raises(ValueError, "labels.idx"):
                kata.read_idx(file)

    @pytest.mark.edge
    def test_another_type_is_an_error(self, kata, tmp_path):
        """0d are floats of four bytes, 0b are shorts: read as unsigned bytes they are nonsense. The message shows the
        type in hex, as tables of file formats do."""
        file = tmp_path / "numbers.idx"
        for kind, shown in ((0x0D, "0d"), (0x0B, "0b"), (0x1C, "1c"), (0x07, "07")):
            file.write_bytes(idx(pictures()[:, 0, 0], kind))
            with check.raises(ValueError, "numbers.idx", shown):
                kata.read_idx(file)

    @pytest.mark.edge
    def test_no_dimensions_are_an_error(self, kata, tmp_path):
        """A data set has at least one size, the number of its examples."""
        file = tmp_path / "nothing.idx"
        file.write_bytes(bytes([0, 0, 8, 0, 5]))
        with check.raises(ValueError, "nothing.idx"):
            kata.read_idx(file)

    def test_a_missing_file_is_a_missing_file(self, kata, tmp_path):
        """FileNotFoundError says it best, and callers look for it."""
        with check.raises(FileNotFoundError):
            kata.read_idx(tmp_path / "nowhere.idx")
