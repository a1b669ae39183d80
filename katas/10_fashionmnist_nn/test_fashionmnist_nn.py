"""Specs of 10: a classifier of any depth, training, evaluation, early stopping, its
mistakes, a run, IDX files.
"""

import copy
import gzip
import math
import struct
import warnings
from unittest import mock

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from grader.datasets import digits
from grader.specs import check

B, D, C = 5, 42, 3  # examples, numbers in one (6 · 7), classes
FEATURES = 4  # of the examples that training and evaluation are tried on
EXACT = {"rtol": 1e-9, "atol": 1e-12}


def linears(model):
    return [module for module in model.modules() if isinstance(module, nn.Linear)]


def linear_sizes(model):
    return [(layer.in_features, layer.out_features) for layer in linears(model)]


def scores_by_hand(model, x, relu=True):
    """The scores before log-softmax, in float64, from the linear layers that the
    model has.
    """
    h = x.detach().double().flatten(1)
    layers = linears(model)
    for number, layer in enumerate(layers, 1):
        fits = layer.in_features == h.shape[1]
        check.that(
            fits,
            f"modules() finds linear layers of sizes {linear_sizes(model)}, which do "
            "not fit together",
        )
        h = h @ layer.weight.detach().double().T + layer.bias.detach().double()
        if relu and number < len(layers):
            h = h.clamp(min=0)
    return h


def log_softmax_by_hand(scores, dim=1):
    shifted = scores - scores.amax(dim, keepdim=True)
    return shifted - shifted.exp().sum(dim, keepdim=True).log()


def by_hand(model, x):
    return log_softmax_by_hand(scores_by_hand(model, x))


def slips_of_forward(model, x):
    """By name, what some slips in the forward pass lead to."""
    scores = scores_by_hand(model, x)
    return {
        "no ReLU: several linear layers in a row are one linear layer": (
            log_softmax_by_hand(scores_by_hand(model, x, relu=False))
        ),
        "ReLU after the last layer, too": log_softmax_by_hand(scores.clamp(min=0)),
        "scores as the last layer gives them: log-softmax is missing": scores,
        "probabilities: the logarithm is missing": log_softmax_by_hand(scores).exp(),
        "log-softmax over the examples of the batch (dim 0)": log_softmax_by_hand(
            scores, dim=0
        ),
    }


def examples(n=11):
    """n examples of 4 features and their labels 0, 1 or 2, always the same."""
    random = np.random.default_rng(3)
    x = random.normal(size=(n, FEATURES))
    return torch.tensor(x), torch.tensor(random.integers(0, C, size=n))


def batches(x, y, size):
    """A loader that keeps the order."""
    return DataLoader(TensorDataset(x, y), size)


def one_layer():
    """A linear layer and log-softmax in float64, always with the same weights."""
    random = np.random.default_rng(11)
    model = nn.Sequential(nn.Linear(FEATURES, C), nn.LogSoftmax(dim=1)).double()
    weight, bias = random.normal(size=(C, FEATURES)), random.normal(size=C)
    model.load_state_dict(
        {"0.weight": torch.tensor(weight), "0.bias": torch.tensor(bias)}
    )
    return model


def weights_of(model):
    return [p.detach() for p in model.parameters()]


def measured(x, y, w, b):
    """Mean loss and number of right answers of a linear classifier, and the
    probabilities, in NumPy.
    """
    scores = np.exp(x @ w.T + b)
    chances = scores / scores.sum(1, keepdims=True)
    loss = -np.log(chances[np.arange(len(y)), y]).mean()
    return float(loss), int((chances.argmax(1) == y).sum()), chances


def sgd_by_hand(model, loader, lr=0.0, momentum=0.0, kept=0.0):
    """One epoch of SGD on `one_layer()` in NumPy: the last weights, and per batch
    (size, loss, right answers) before and after the update. `kept` is the share of the
    old gradients that stays in .grad: 0 if they are cleared.
    """
    w, b = (p.detach().numpy().copy() for p in model.parameters())
    to_w, to_b, grad_w, grad_b = 0.0, 0.0, 0.0, 0.0
    before, after = [], []
    for x, y in loader:
        x, y = x.numpy(), y.numpy()
        loss, right, chances = measured(x, y, w, b)
        slope = (chances - np.eye(C)[y]) / len(y)
        grad_w, grad_b = kept * grad_w + slope.T @ x, kept * grad_b + slope.sum(0)
        to_w, to_b = momentum * to_w + grad_w, momentum * to_b + grad_b
        w, b = w - lr * to_w, b - lr * to_b
        before.append((len(y), loss, right))
        after.append((len(y), *measured(x, y, w, b)[:2]))
    return [torch.tensor(w), torch.tensor(b)], before, after


def per_example(rows):
    """Mean loss and accuracy, each example with the same weight."""
    count = sum(size for size, _, _ in rows)
    return sum(size * loss for size, loss, _ in rows) / count, sum(
        right for _, _, right in rows
    ) / count


def per_batch(rows):
    """Mean loss and accuracy, each batch with the same weight."""
    return sum(loss for _, loss, _ in rows) / len(rows), sum(
        right / size for size, _, right in rows
    ) / len(rows)


def slips_of_means(before):
    """By name, what some slips in summing up lead to."""
    count = sum(size for size, _, _ in before)
    loss, accuracy = per_example(before)
    return {
        "the mean of the batch means: a small batch counts as much as a full one": (
            per_batch(before)
        ),
        "batch means added up without their sizes": (
            sum(row[1] for row in before) / count,
            accuracy,
        ),
        "the number of right answers, not their share": (loss, accuracy * count),
        "the loss of the last batch alone": (before[-1][1], accuracy),
        "the right answers of the last batch alone, over all examples": (
            loss,
            before[-1][2] * before[-1][0] / count,
        ),
        "sums that are not divided by the number of examples": (
            loss * count,
            accuracy * count,
        ),
    }


def check_floats(numbers):
    kinds = [type(number).__name__ for number in numbers]
    check.that(
        all(isinstance(number, float) for number in numbers),
        f"expected two floats, got {kinds}",
    )


class Notes(list):
    """A list that copies of its owner share, so that a model may be evaluated as
    a copy.
    """

    def __deepcopy__(self, memo):
        return self


class Watched(nn.Module):
    """Passes everything on to another model. Notes per call the mode, the batch and
    whether a graph is recorded.
    """

    def __init__(self, model):
        super().__init__()
        self.model, self.modes, self.inputs, self.graphs = (
            model,
            Notes(),
            Notes(),
            Notes(),
        )

    def forward(self, x):
        output = self.model(x)
        self.modes.append(all(module.training for module in self.modules()))
        self.inputs.append(x)
        self.graphs.append(output.requires_grad)
        return output


class Elsewhere(Tensor):
    """A tensor that says it is on another device, until it is moved: then it is an
    ordinary one.
    """

    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if function == Tensor.device.__get__:
            return torch.device("meta")
        result = super().__torch_function__(function, types, args, kwargs or {})
        moved = function in (Tensor.to, Tensor.cpu)
        return result.as_subclass(Tensor) if moved else result


def check_moved(call):
    """`call(model, loader, loss_fn)` gets batches from elsewhere. The model and the
    loss must get them moved.
    """
    x, y = examples()
    model, labels = Watched(one_layer()), []

    def loss_fn(outputs, targets):
        labels.append(targets)
        return nn.functional.nll_loss(outputs, targets)

    call(model, [(x.as_subclass(Elsewhere), y.as_subclass(Elsewhere))], loss_fn)
    for name, seen in (("the model", model.inputs), ("the loss function", labels)):
        moved = bool(seen) and not any(isinstance(t, Elsewhere) for t in seen)
        check.that(
            moved,
            f"{name} got a batch that was not moved to the device of the model's "
            "parameters",
        )


def with_modes():
    """A model in which the mode matters: it has dropout, and batch norm with
    its buffers.
    """
    hidden = [nn.Linear(FEATURES, 6), nn.BatchNorm1d(6), nn.Dropout(0.5)]
    return nn.Sequential(*hidden, nn.Linear(6, C), nn.LogSoftmax(dim=1)).double()


def everything_in(model):
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def check_modes(model, expected, when):
    modes = {
        name or "the model": module.training for name, module in model.named_modules()
    }
    wrong = [name for name, mode in modes.items() if mode != expected]
    word = "training" if expected else "eval"
    check.that(
        not wrong, f"{when}, {', '.join(wrong[:3])} should be in {word} mode again"
    )


@st.composite
def layer_sizes(draw):
    """input_dim, up to three hidden sizes, num_classes."""
    return (
        draw(st.integers(1, 6)),
        draw(st.lists(st.integers(1, 5), max_size=3)),
        draw(st.integers(2, 4)),
    )


class TestFashionMNISTModel:
    def test_one_row_of_scores_for_each_example(self, kata):
        """(B, …) becomes (B, C), whatever the shape of an example: an image with a
        channel, without one, or a row.
        """
        model = kata.FashionMNISTModel(D, (9, 8), C)
        for shape in ((B, 1, 6, 7), (B, 6, 7), (B, D)):
            check.shape(
                model(torch.randn(shape)), (B, C), what=f"output for x of shape {shape}"
            )

    def test_linear_layers_lead_from_size_to_size(self, kata):
        """Each linear layer takes what the one before it gives: D → 9 → 8 → C.
        `modules()` finds them in the order of their use. A plain Python list hides
        them, from `parameters()` and so from the optimizer.
        """
        for hidden in ((9, 8), (9, 8, 7), ()):
            sizes = [D, *hidden, C]
            expected = list(zip(sizes[:-1], sizes[1:], strict=True))
            got = linear_sizes(kata.FashionMNISTModel(D, hidden, C))
            unlike = {"no linear layer is registered, as in a plain list": []}
            check.equal(
                got,
                expected,
                unlike=unlike,
                what=f"(in, out) of the linear layers for hidden_dims={hidden}",
            )

    def test_outputs_equal_a_loop_written_by_hand(self, kata):
        """Linear, ReLU, Linear, ReLU, …, Linear, log-softmax. ReLU follows every linear
        layer but the last: the scores may be negative.
        """
        x = 3 * torch.randn(B, 1, 6, 7, dtype=torch.float64)
        for hidden in ((9, 8), (9, 8, 7), ()):
            model = kata.FashionMNISTModel(D, hidden, C).double()
            unlike = slips_of_forward(model, x)
            check.close(
                model(x),
                by_hand(model, x),
                unlike=unlike,
                what=f"the output with hidden_dims={hidden}",
            )

    @given(sizes=layer_sizes())
    def test_probabilities_of_an_example_sum_to_one(self, kata, sizes):
        """exp turns log-probabilities into probabilities, and each example is of
        exactly one class. That holds for any number of layers of any width.
        """
        input_dim, hidden, classes = sizes
        output = kata.FashionMNISTModel(input_dim, hidden, classes)(
            torch.randn(B, input_dim)
        )
        check.shape(output, (B, classes), what="the output")
        check.close(
            output.exp().sum(dim=1),
            torch.ones(B),
            what="exp(output) summed over the classes",
        )

    def test_dropout_silences_hidden_values_in_training(self, kata):
        """With dropout 1.0, nothing passes the hidden layers in training mode, so the
        scores of every example are the last bias. Nothing is dropped after the last
        linear layer.
        """
        model = kata.FashionMNISTModel(D, (9, 8), C, dropout=1.0)
        x = torch.randn(B, D)
        bias = linears(model)[-1].bias.detach().double().expand(B, C)
        unlike = {
            "no dropout": by_hand(model, x),
            "dropout on the scores": torch.full((B, C), -math.log(C)),
        }
        got = model.train()(x)
        check.close(
            got,
            log_softmax_by_hand(bias),
            unlike=unlike,
            what="output in training mode, dropout 1.0",
        )

    def test_dropout_follows_every_hidden_layer(self, kata):
        """Two hidden layers of one unit each pass a 1 on. With dropout 0.5, each of
        them drops it or doubles it, so 0 or 4 comes out. Dropout in one place would
        give 0 or 2, in three places 0 or 8.
        """
        model = kata.FashionMNISTModel(1, (1, 1), 2, dropout=0.5).train()
        with torch.no_grad():
            for layer in linears(model):
                layer.bias.zero_()
                layer.weight.copy_(torch.tensor([[1.0], [0.0]])[: layer.out_features])
            output = model(torch.ones(400, 1))
        through = output[:, 0] - output[:, 1]  # log-softmax keeps differences
        values = sorted(through.mul(100).round().div(100).unique().tolist())
        check.that(
            values == [0.0, 4.0],
            f"what came through is one of {values[:8]}, expected 0 and 4",
        )

    def test_dropout_rests_in_eval_mode(self, kata):
        """A prediction uses the whole network: in eval mode dropout passes
        everything on.
        """
        model = kata.FashionMNISTModel(D, (9, 8), C, dropout=0.9).eval()
        x = torch.randn(B, D)
        check.close(model(x), by_hand(model, x), what="output in eval mode")

    def test_without_hidden_layers_nothing_is_dropped(self, kata):
        """Dropout is for hidden values, not for the input or the scores."""
        model = kata.FashionMNISTModel(D, (), C, dropout=0.9).train()
        x = torch.randn(B, D)
        check.close(
            model(x),
            by_hand(model, x),
            what="output in training mode, no hidden layers",
        )

    @pytest.mark.edge
    def test_large_inputs_stay_finite(self, kata):
        """A class with a low score has a probability too small for a float: softmax
        makes it 0, and log(0) is -inf. `log_softmax` never forms the probability.
        """
        model = kata.FashionMNISTModel(D, (9, 8), C)
        x = 1e4 * torch.randn(B, D)
        output = model(x)
        check.finite(output, what="output for inputs in the tens of thousands")
        check.close(
            output,
            by_hand(model, x),
            rtol=1e-3,
            atol=1e-2,
            what="output for inputs in the tens of thousands",
        )

    @pytest.mark.edge
    def test_works_on_a_transposed_view(self, kata):
        """A transposed image is not contiguous. `view` refuses it; `flatten` and
        `reshape` copy where they must.
        """
        model = kata.FashionMNISTModel(D, (9,), C)
        x = torch.randn(B, 7, 6).transpose(1, 2)
        check.close(model(x), by_hand(model, x.contiguous()))

    @pytest.mark.edge
    def test_stays_on_the_device_of_its_input(self, kata):
        """The network makes no tensor on the CPU, so it runs wherever its
        parameters are.
        """
        output = kata.FashionMNISTModel(D, (9,), C, dropout=0.5).to("meta")(
            torch.empty(B, D, device="meta")
        )
        check.that(
            output.device.type == "meta", f"the output is on {output.device}, x on meta"
        )

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """On the GPU, the network gives the same outputs."""
        model = kata.FashionMNISTModel(D, (9, 8), C)
        x = torch.randn(B, 1, 6, 7)
        expected = by_hand(model, x)
        output = model.cuda()(x.cuda())
        check.that(output.is_cuda, f"the output is on {output.device}, x on the GPU")
        check.close(output, expected, rtol=1e-2, atol=1e-2)


class TestTrainEpoch:
    def test_every_example_counts_alike(self, kata):
        """Eleven examples in batches of 4, 4 and 3: the last batch has the weight 3/11,
        not 1/3. Multiply the mean loss of each batch by its size, and divide the sum by
        the number of examples. Both results are plain floats: a loss that is still a
        tensor keeps its whole graph in memory.
        """
        loader, model = batches(*examples(), 4), one_layer()
        _, before, after = sgd_by_hand(model, loader, lr=0.5)
        got = kata.train_epoch(
            model, loader, nn.NLLLoss(), torch.optim.SGD(model.parameters(), lr=0.5)
        )
        piled_up = sgd_by_hand(one_layer(), loader, lr=0.5, kept=1.0)[1]
        unlike = slips_of_means(before) | {
            "measured again after each update": per_example(after),
            "the steps went along gradients that are never cleared": per_example(
                piled_up
            ),
        }
        check.close(got, per_example(before), unlike=unlike, what="(loss, accuracy)")
        check_floats(got)

    def test_weights_equal_those_of_a_loop_written_by_hand(self, kata):
        """An update after each of three batches, each along the gradient of that batch
        alone, with the momentum of the optimizer. `backward` adds to .grad, so the
        gradients of earlier batches have to be cleared.
        """
        loader, model = batches(*examples(), 4), one_layer()
        start, how = copy.deepcopy(model), {"lr": 0.5, "momentum": 0.7}
        kata.train_epoch(
            model, loader, nn.NLLLoss(), torch.optim.SGD(model.parameters(), **how)
        )
        unlike = {
            "no weight has moved": weights_of(start),
            (
                "gradients that are not cleared: each step goes along the sum of all "
                "so far"
            ): sgd_by_hand(start, loader, **how, kept=1.0)[0],
            "only the first batch": sgd_by_hand(start, list(loader)[:1], **how)[0],
            "one step along the gradient of all the examples": sgd_by_hand(
                start, batches(*examples(), 11), **how
            )[0],
            "steps up the gradient": sgd_by_hand(start, loader, -0.5, 0.7)[0],
        }
        expected = sgd_by_hand(start, loader, **how)[0]
        check.close(
            weights_of(model),
            expected,
            **EXACT,
            unlike=unlike,
            what="[weight, bias] after the epoch",
        )

    def test_the_loss_function_is_the_one_given(self, kata):
        """loss_fn is called with outputs first, then labels, and training follows its
        gradient. Here that is twice the usual loss, so twice the step.
        """
        loader, model = batches(*examples(), 4), one_layer()
        start = copy.deepcopy(model)
        double = lambda outputs, labels: 2 * nn.functional.nll_loss(outputs, labels)  # noqa: E731
        loss, _ = kata.train_epoch(
            model, loader, double, torch.optim.SGD(model.parameters(), lr=0.5)
        )
        weights, before, _ = sgd_by_hand(start, loader, lr=1.0)
        check.close(loss, 2 * per_example(before)[0], what="loss")
        check.close(
            weights_of(model), weights, **EXACT, what="[weight, bias] after the epoch"
        )

    def test_a_model_in_eval_mode_trains_in_training_mode(self, kata):
        """An evaluation may have left the model in eval mode. Dropout and batch norm
        have to know that training goes on, so set the mode at the start of each epoch.
        """
        model = Watched(one_layer()).eval()
        kata.train_epoch(
            model,
            batches(*examples(), 4),
            nn.NLLLoss(),
            torch.optim.SGD(model.parameters(), lr=0.1),
        )
        unlike = {"`model.train()` is missing": [False] * 3}
        check.equal(
            list(model.modes), [True] * 3, unlike=unlike, what="training mode in call"
        )

    def test_the_model_is_called_once_a_batch(self, kata):
        """Count the correct predictions in the outputs of the training step. A second
        forward pass costs as much as the first, and measures another model: the updated
        one, or one with other units dropped.
        """
        model = Watched(one_layer())
        kata.train_epoch(
            model,
            batches(*examples(), 4),
            nn.NLLLoss(),
            torch.optim.SGD(model.parameters(), lr=0.1),
        )
        check.equal(len(model.modes), 3, what="calls of the model for three batches")

    @pytest.mark.timeout(60)
    def test_five_epochs_learn_digits(self, kata):
        """On 1400 handwritten digits the loss falls from epoch to epoch, and at the end
        most predictions are right.
        """
        images, labels = digits()
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))[
            :1400
        ]
        model = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, 32),
            nn.ReLU(),
            nn.Linear(32, 10),
            nn.LogSoftmax(dim=1),
        )
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        loader = batches(images[order], labels[order], 32)
        epochs = [
            kata.train_epoch(model, loader, nn.NLLLoss(), optimizer) for _ in range(5)
        ]
        losses, accuracies = zip(*epochs, strict=True)
        shown = ", ".join(f"{loss:.2f}" for loss in losses)
        check.that(
            list(losses) == sorted(losses, reverse=True),
            f"the losses of five epochs do not fall: {shown}",
        )
        check.that(
            accuracies[-1] > 0.85,
            f"accuracy in the fifth epoch is {accuracies[-1]:.2f}, expected above 0.85",
        )

    @pytest.mark.edge
    def test_any_iterable_of_batches_is_a_loader(self, kata):
        """Lists have no `dataset`, and generators have no length and can be iterated
        over only once.
        """
        expected = per_example(
            sgd_by_hand(one_layer(), batches(*examples(), 4), lr=0.5)[1]
        )
        for kind in (list, iter):
            model = one_layer()
            loader = kind(batches(*examples(), 4))
            got = kata.train_epoch(
                model, loader, nn.NLLLoss(), torch.optim.SGD(model.parameters(), lr=0.5)
            )
            check.close(
                got, expected, what=f"(loss, accuracy) with a {type(loader).__name__}"
            )

    @pytest.mark.edge
    def test_batches_are_moved_to_the_models_device(self, kata):
        """Loaders give batches on the CPU, wherever the model is. Move inputs and
        labels to the device of the model's parameters.
        """
        check_moved(
            lambda model, loader, loss_fn: kata.train_epoch(
                model, loader, loss_fn, torch.optim.SGD(model.parameters(), lr=0.1)
            )
        )

    @pytest.mark.edge
    @pytest.mark.gpu
    def test_runs_on_the_gpu(self, kata):
        """A model on the GPU is trained with batches from the CPU."""
        loader, model = batches(*examples(), 4), one_layer()
        expected = per_example(sgd_by_hand(model, loader, lr=0.5)[1])
        model.cuda()
        got = kata.train_epoch(
            model, loader, nn.NLLLoss(), torch.optim.SGD(model.parameters(), lr=0.5)
        )
        check.close(got, expected, rtol=1e-6, what="(loss, accuracy)")

    @pytest.mark.edge
    def test_an_empty_loader_is_an_error(self, kata):
        """Without examples there is no mean loss."""
        model = one_layer()
        for loader in ([], iter(())):
            with check.raises(ValueError):
                kata.train_epoch(
                    model,
                    loader,
                    nn.NLLLoss(),
                    torch.optim.SGD(model.parameters(), lr=0.1),
                )


class TestEvaluate:
    def test_loss_and_accuracy_count_every_example_alike(self, kata):
        """The result is two floats. Each of eleven examples in batches of 4, 4 and 3
        counts 1/11.
        """
        loader, model = batches(*examples(), 4), one_layer()
        _, before, _ = sgd_by_hand(model, loader)
        got = kata.evaluate(model, loader, nn.NLLLoss())
        check.close(
            got,
            per_example(before),
            unlike=slips_of_means(before),
            what="(loss, accuracy)",
        )
        check_floats(got)

    @given(size=st.integers(1, 12))
    def test_the_batch_size_does_not_matter(self, kata, size):
        """Mean loss and accuracy do not depend on how the examples are cut
        into batches.
        """
        expected = per_example(sgd_by_hand(one_layer(), batches(*examples(), 11))[1])
        got = kata.evaluate(one_layer(), batches(*examples(), size), nn.NLLLoss())
        check.close(
            got, expected, what=f"(loss, accuracy) of 11 examples in batches of {size}"
        )

    def test_the_model_is_in_eval_mode(self, kata):
        """Measure the model as it will be used: without dropout, batch norm with its
        running statistics. `model.eval()` does that. Switching gradients off does not.
        """
        x, y = examples()
        model = Watched(with_modes()).train()
        got = kata.evaluate(model, batches(x, y, 4), nn.NLLLoss())
        unlike = {"`model.eval()` is missing": [True] * 3}
        check.equal(
            list(model.modes), [False] * 3, unlike=unlike, what="training mode in call"
        )
        with torch.no_grad():
            right = model.model.eval()(x)
        expected = -right[torch.arange(len(y)), y].mean().item()
        check.close(got[0], expected, rtol=1e-6, what="loss")

    def test_no_graph_is_recorded(self, kata):
        """Nobody will ask for a gradient, so a graph is wasted memory."""
        model = Watched(one_layer())
        kata.evaluate(model, batches(*examples(), 4), nn.NLLLoss())
        check.that(
            not any(model.graphs),
            "the outputs of the model require grad: a graph was recorded",
        )

    def test_parameters_buffers_and_gradients_stay(self, kata):
        """An evaluation changes nothing that training needs. In training mode batch
        norm would update its running statistics, and gradients may be waiting for
        a step.
        """
        model = with_modes()
        for p in model.parameters():
            p.grad = torch.randn_like(p)
        before, gradients = (
            everything_in(model),
            [p.grad.clone() for p in model.parameters()],
        )
        kata.evaluate(model, batches(*examples(), 4), nn.NLLLoss())
        check.equal(
            everything_in(model), before, what="state_dict after the evaluation"
        )
        check.that(
            all(p.grad is not None for p in model.parameters()),
            "a .grad that was there is None now",
        )
        check.equal(
            [p.grad for p in model.parameters()],
            gradients,
            what="gradients after the evaluation",
        )

    def test_any_iterable_of_batches_is_a_loader(self, kata):
        """A list has no `dataset`, and a generator has no length and can be iterated
        over only once. Count the examples of each batch on the way: 22 evaluates such
        loaders with your function.
        """
        expected = per_example(sgd_by_hand(one_layer(), batches(*examples(), 4))[1])
        for kind in (list, iter):
            loader = kind(batches(*examples(), 4))
            got = kata.evaluate(one_layer(), loader, nn.NLLLoss())
            check.close(
                got, expected, what=f"(loss, accuracy) with a {type(loader).__name__}"
            )

    @pytest.mark.edge
    def test_the_mode_is_put_back(self, kata):
        """After an evaluation in the middle of training, training goes on, in all parts
        of the model. A model that was in eval mode stays there.
        """
        for mode in (True, False):
            model = with_modes().train(mode)
            kata.evaluate(model, batches(*examples(), 4), nn.NLLLoss())
            check_modes(model, mode, "after an evaluation")
        check.that(
            torch.is_grad_enabled(),
            "gradients are still switched off after the evaluation",
        )

    @pytest.mark.edge
    def test_the_mode_is_put_back_after_an_error(self, kata):
        """A loss function that fails, or Ctrl-C, ends the evaluation. A notebook goes
        on with the model, which must not be left in eval mode.
        """

        def failing(outputs, labels):
            raise ArithmeticError("this loss function fails on purpose")

        model = with_modes().train()
        with check.raises(ArithmeticError):
            kata.evaluate(model, batches(*examples(), 4), failing)
        check_modes(model, True, "after an evaluation that ended in an exception")
        check.that(
            torch.is_grad_enabled(),
            "gradients are still switched off after the exception",
        )

    @pytest.mark.edge
    def test_batches_are_moved_to_the_models_device(self, kata):
        """Loaders give batches on the CPU, wherever the model is. Move inputs
        and labels.
        """
        check_moved(kata.evaluate)

    @pytest.mark.edge
    def test_an_empty_loader_is_an_error(self, kata):
        """Without examples there is no mean loss. After the error, the model is back in
        its mode.
        """
        model = with_modes().train()
        for loader in ([], iter(())):
            with check.raises(ValueError):
                kata.evaluate(model, loader, nn.NLLLoss())
        check_modes(model, True, "after the error")


def net(value=0.0):
    """A small model with a buffer, all of its numbers equal to `value`."""
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    return set_to(model, value)


def set_to(model, value):
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(value)
    return model


def told(stopper, losses):
    """The stopper's answers to these losses. In epoch i the model's numbers are
    all i.
    """
    model = net()
    return [
        stopper.step(loss, set_to(model, float(i))) for i, loss in enumerate(losses)
    ]


def record(stopper):
    return {
        name: getattr(stopper, name)
        for name in ("best_loss", "best_epoch", "bad_epochs")
    }


def record_of(loss, epoch, bad):
    return {"best_loss": loss, "best_epoch": epoch, "bad_epochs": bad}


def stopping_by_hand(losses, patience, min_delta):
    """The record after these losses, and all answers, in plain Python."""
    best, answers = -1, []
    for epoch, loss in enumerate(losses):
        if best < 0 or losses[best] - loss > min_delta:
            best = epoch
        answers.append(epoch - best >= patience)
    return record_of(losses[best], best, len(losses) - 1 - best), answers


@st.composite
def runs_of_losses(draw):
    """Whole numbers as losses, patience, and a min_delta that no difference of two
    losses equals, except 0.
    """
    losses = draw(st.lists(st.integers(0, 4).map(float), min_size=1, max_size=7))
    return losses, draw(st.integers(1, 3)), draw(st.sampled_from([0.0, 0.5, 1.5]))


class TestEarlyStoppingStep:
    def test_remembers_the_best_epoch(self, kata):
        """After 0.9, 1.0, 0.7, 0.8 the third call was the best one: number 2, counted
        from 0. One bad epoch followed. Every call is an epoch, even if its loss was
        no improvement.
        """
        stopper = kata.EarlyStopping(patience=5)
        told(stopper, [0.9, 1.0, 0.7, 0.8])
        unlike = {
            "epochs counted from 1": record_of(0.7, 3, 1),
            "the last epoch taken for the best": record_of(0.8, 3, 0),
            "improvements counted, not calls": record_of(0.7, 1, 1),
            "bad_epochs is not set back to 0": record_of(0.7, 2, 2),
        }
        check.equal(
            record(stopper),
            record_of(0.7, 2, 1),
            unlike=unlike,
            what="attributes after 0.9, 1.0, 0.7, 0.8",
        )

    def test_stops_when_patience_has_run_out(self, kata):
        """The answer is True in the call in which bad_epochs reaches patience, not one
        call later. With patience 2 the second bad epoch in a row ends the training.
        """
        for patience in (1, 2, 3):
            right = [False] * patience + [True] * (4 - patience)
            late, early = [False, *right[:-1]], [*right[1:], True]
            unlike = {
                "one epoch too late: bad_epochs > patience": late,
                "one epoch too early": early,
            }
            got = told(kata.EarlyStopping(patience), [0.5, 0.6, 0.6, 0.6])
            check.equal(
                got,
                right,
                unlike=unlike,
                what=f"answers to 0.5, 0.6, 0.6, 0.6 with patience {patience}",
            )

    def test_measures_against_the_best_loss(self, kata):
        """0.5, 0.9, 0.7: the last loss is better than the one before, and worse than
        the best. It is no improvement.
        """
        stopper = kata.EarlyStopping(patience=2)
        told(stopper, [0.5, 0.9, 0.7])
        unlike = {"measured against the epoch before": record_of(0.7, 2, 0)}
        check.equal(
            record(stopper),
            record_of(0.5, 0, 2),
            unlike=unlike,
            what="attributes after 0.5, 0.9, 0.7",
        )

    def test_small_gains_do_not_count(self, kata):
        """With min_delta 0.1 a loss has to fall below best_loss - 0.1. From 1.0, 0.95
        is not enough; 0.8 is; from there 0.75 and 0.82 are not.
        """
        stopper = kata.EarlyStopping(patience=2, min_delta=0.1)
        told(stopper, [1.0, 0.95, 0.8, 0.75, 0.82])
        unlike = {
            "best_loss follows small gains, too": record_of(0.75, 2, 2),
            "min_delta is not used": record_of(0.75, 3, 1),
            "min_delta is added to the best loss, not taken off": record_of(0.82, 4, 0),
        }
        what = "attributes after 1.0, 0.95, 0.8, 0.75, 0.82 with min_delta 0.1"
        check.equal(record(stopper), record_of(0.8, 2, 2), unlike=unlike, what=what)

    def test_an_equal_loss_is_no_improvement(self, kata):
        """With `<=`, a model that no longer learns would train for ever."""
        stopper = kata.EarlyStopping(patience=2)
        told(stopper, [0.5, 0.5, 0.5])
        unlike = {"an equal loss is taken for an improvement": record_of(0.5, 2, 0)}
        check.equal(
            record(stopper),
            record_of(0.5, 0, 2),
            unlike=unlike,
            what="attributes after 0.5, 0.5, 0.5",
        )

    @given(case=runs_of_losses())
    def test_any_run_of_losses(self, kata, case):
        """An improvement is loss < best_loss - min_delta. It sets bad_epochs back to 0,
        and every other loss adds 1.
        """
        losses, patience, min_delta = case
        stopper = kata.EarlyStopping(patience, min_delta)
        answers = told(stopper, losses)
        expected, right = stopping_by_hand(losses, patience, min_delta)
        what = f"losses {losses}, patience {patience}, min_delta {min_delta}: "
        check.equal(record(stopper), expected, what=what)
        check.equal(answers, right, what=what + "answers")

    def test_the_state_of_the_best_epoch_is_kept(self, kata):
        """best_state is the whole state_dict of that epoch: parameters and buffers,
        such as the running statistics of batch norm. It is a copy: `state_dict()`
        returns the model's own tensors, which go on changing.
        """
        stopper = kata.EarlyStopping()
        told(stopper, [0.9, 0.7, 0.8])
        state = stopper.best_state
        right, last = everything_in(net(1.0)), everything_in(net(2.0))
        holds = sorted(state or [])
        check.that(
            holds == sorted(right),
            f"best_state holds {holds}, the state_dict of the model {sorted(right)}",
        )
        for name, value in right.items():
            unlike = {
                "the last epoch's: the state is no copy, and was trained on": last[name]
            }
            check.equal(state[name], value, unlike=unlike, what=f"best_state[{name!r}]")

    @pytest.mark.edge
    def test_nan_is_never_an_improvement(self, kata):
        """Every comparison with NaN is False. Ask whether the loss is better, not
        whether it is worse: nothing could beat a best loss of NaN.
        """
        stopper = kata.EarlyStopping(patience=2)
        got = told(stopper, [math.nan, 0.5, math.nan, math.nan])
        unlike = {"NaN is taken for an improvement": record_of(math.nan, 3, 0)}
        check.equal(
            record(stopper),
            record_of(0.5, 1, 2),
            unlike=unlike,
            what="attributes after nan, 0.5, nan, nan",
        )
        check.equal(
            got, [False, False, False, True], what="answers to nan, 0.5, nan, nan"
        )


def with_best_state(kata, value):
    stopper = kata.EarlyStopping()
    stopper.best_state = everything_in(net(value))
    return stopper


class TestEarlyStoppingRestore:
    def test_the_best_state_comes_back(self, kata):
        """All parameters and buffers of the model are those of best_state. They are
        written in place: the model keeps its parameter objects, because an optimizer
        may hold them.
        """
        model = net(5.0)
        parameters = list(model.parameters())
        with_best_state(kata, 1.0).restore(model)
        unlike = {
            "the state that the model had: nothing was loaded": everything_in(net(5.0))
        }
        check.equal(
            everything_in(model),
            everything_in(net(1.0)),
            unlike=unlike,
            what="state_dict after restore",
        )
        same = all(p is q for p, q in zip(model.parameters(), parameters, strict=True))
        check.that(same, "the model has other parameters than before")

    def test_restore_can_be_repeated(self, kata):
        """best_state survives a restore, even if training then goes on."""
        stopper, model = with_best_state(kata, 1.0), net()
        for _ in range(2):
            stopper.restore(model)
            check.equal(
                everything_in(model),
                everything_in(net(1.0)),
                what="state_dict after restore",
            )
            set_to(model, 8.0)

    @pytest.mark.edge
    def test_nothing_to_restore_is_an_error(self, kata):
        """Without an improvement there is no best state. Leaving the model as it is
        would hide that.
        """
        with check.raises(RuntimeError):
            kata.EarlyStopping().restore(net())


PROBABILITIES = [  # per example the three probabilities, and the label
    ([0.7, 0.2, 0.1], 0),
    ([0.5, 0.4, 0.1], 1),  # wrong with 0.5
    ([0.1, 0.3, 0.6], 2),
    ([0.05, 0.9, 0.05], 2),  # wrong with 0.9
    ([0.3, 0.25, 0.45], 0),  # wrong with 0.45
    ([0.2, 0.75, 0.05], 1),
    ([0.8, 0.15, 0.05], 2),  # wrong with 0.8
]

MISTAKES = {
    "index": torch.tensor([3, 6, 1, 4]),
    "predicted": torch.tensor([1, 0, 0, 2]),
    "target": torch.tensor([2, 2, 1, 0]),
    "confidence": torch.tensor([0.9, 0.8, 0.5, 0.45]),
}


class Lookup(nn.Module):
    """Answers for image i with row i of a table of log-probabilities. Notes per call
    the number of images, the mode and whether a graph is recorded.
    """

    def __init__(self, probabilities):
        super().__init__()
        self.table = nn.Parameter(torch.tensor(probabilities).log())
        self.sizes, self.modes, self.graphs = Notes(), Notes(), Notes()

    def forward(self, images):
        output = self.table[images[:, 0, 0, 0].long()]
        (
            self.sizes.append(len(images)),
            self.modes.append(self.training),
            self.graphs.append(output.requires_grad),
        )
        return output


def numbered(n):
    """n images (n, 1, 2, 2) that hold their own number."""
    return (
        torch.arange(n, dtype=torch.float32)
        .reshape(n, 1, 1, 1)
        .expand(n, 1, 2, 2)
        .clone()
    )


def seven_examples():
    rows, labels = zip(*PROBABILITIES, strict=True)
    return Lookup(rows), numbered(len(rows)), torch.tensor(labels)


class TestMisclassified:
    def test_the_most_confident_mistakes_come_first(self, kata):
        """Four of seven predictions are wrong. Sort them by the probability of the
        predicted class, the highest first: confident mistakes say most about the data.
        """
        true_class = {**MISTAKES, "confidence": torch.tensor([0.05, 0.05, 0.4, 0.3])}
        unlike = {
            "the least sure first": {
                name: values.flip(0) for name, values in MISTAKES.items()
            },
            "in the order of the images": {
                name: values[[2, 0, 3, 1]] for name, values in MISTAKES.items()
            },
            "the probability of the true class": true_class,
            "the log-probability: exp is missing": {
                **MISTAKES,
                "confidence": MISTAKES["confidence"].log(),
            },
            "places among the mistakes, not among the images": {
                **MISTAKES,
                "index": torch.tensor([1, 3, 0, 2]),
            },
        }
        got = kata.misclassified(*seven_examples())
        right = (
            isinstance(got, dict)
            and torch.is_tensor(got.get("index"))
            and {*got["index"].tolist()} == {0, 2, 5}
        )
        check.that(
            not right,
            "the indices are 0, 2 and 5",
            like="the right predictions, not the wrong ones",
        )
        check.close(got, MISTAKES, unlike=unlike)
        for name in ("index", "predicted", "target"):
            check.dtype(got[name], torch.int64, what=name)

    def test_at_most_k_of_them(self, kata):
        """k keeps the k most confident ones. A k above the number of mistakes gives all
        of them.
        """
        for k in (1, 3, 4, 9, None):
            expected = {name: values[:k] for name, values in MISTAKES.items()}
            got = kata.misclassified(*seven_examples(), k=k)
            check.close(got, expected, what=f"with k={k}: ")

    @given(batch_size=st.integers(1, 9))
    def test_not_too_many_images_at_once(self, kata, batch_size):
        """A whole data set may need too much memory in one call. The model gets at most
        batch_size images per call, and the result does not depend on it. The last batch
        may be smaller.
        """
        model, images, labels = seven_examples()
        got = kata.misclassified(model, images, labels, batch_size=batch_size)
        check.close(got, MISTAKES, what=f"with batch_size={batch_size}: ")
        largest = max(model.sizes)
        check.that(
            largest <= batch_size,
            f"batch_size={batch_size}, and the model got {largest} images at once",
        )

    def test_in_eval_mode_and_without_a_graph(self, kata):
        """The predictions are those of the finished model: no dropout, and no graph."""
        model, images, labels = seven_examples()
        got = kata.misclassified(model.train(), images, labels)
        check.that(not any(model.modes), "the model was called in training mode")
        check.that(
            not any(model.graphs),
            "the outputs of the model require grad: a graph was recorded",
        )
        check.that(not got["confidence"].requires_grad, "confidence carries a graph")

    @pytest.mark.edge
    def test_equal_confidences_keep_the_order_of_the_images(self, kata):
        """Of forty mistakes of the same confidence the lower index comes first, so that
        the list is always the same. `topk` and a flipped sort do not promise that.
        """
        n = 40
        model, images, labels = (
            Lookup([[0.6, 0.3, 0.1]] * n),
            numbered(n),
            torch.ones(n, dtype=torch.int64),
        )
        for k in (None, 7):
            got = kata.misclassified(model, images, labels, k=k, batch_size=16)
            check.equal(got["index"], torch.arange(n)[:k], what=f"index with k={k}")

    @pytest.mark.edge
    def test_no_mistakes_give_empty_tensors(self, kata):
        """A perfect model has no mistakes, and k = 0 asks for none: four tensors of
        length 0.
        """
        model, images, labels = seven_examples()
        right = model.table.detach().argmax(dim=1)
        for wanted, k in ((right, None), (right, 5), (labels, 0)):
            got = kata.misclassified(model, images, wanted, k=k)
            for name in MISTAKES:
                check.shape(got[name], (0,), what=name)
            check.dtype(got["index"], torch.int64, what="index")

    @pytest.mark.edge
    def test_the_mode_is_put_back(self, kata):
        """Training goes on in training mode, even if the model raises an exception on
        the way.
        """
        for mode in (True, False):
            model, images, labels = seven_examples()
            wrapped = nn.Sequential(model, nn.Dropout(0.5)).train(mode)
            kata.misclassified(wrapped, images, labels)
            check_modes(wrapped, mode, "after the search")
        wrapped.train()
        with check.raises(IndexError):
            # the table has no such row
            kata.misclassified(wrapped, images + 100, labels)
        check_modes(wrapped, True, "after an exception in the model")

    @pytest.mark.edge
    def test_images_and_labels_stay_as_they_are(self, kata):
        """They are only read."""
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
    """Data on which `Seesaw` overfits: in training class 0 is always right, in
    validation three times out of four. The weight grows for ever, and beyond log
    3 = 1.1 the validation loss grows with it.
    """
    x = torch.ones(4, dtype=torch.float64)
    return batches(x, torch.tensor([0, 0, 0, 0]), 4), batches(
        x, torch.tensor([0, 0, 1, 0]), 4
    )


def tilted_by_hand(epochs):
    """The weight after each epoch of SGD at lr 0.5, and its validation loss."""
    weights, w = [], 0.0
    for _ in range(epochs):
        w += 0.5 / (1 + math.exp(w))
        weights.append(w)
    return weights, [math.log(1 + math.exp(-w)) + w / 4 for w in weights]


def fit_tilted(kata, epochs, **options):
    model = Seesaw()
    history = kata.fit(
        model, *tilted(), torch.optim.SGD(model.parameters(), lr=0.5), epochs, **options
    )
    return model, history


@pytest.mark.stretch
class TestFit:
    def test_numbers_equal_a_loop_written_by_hand(self, kata):
        """Training first, then validation of the updated model, epoch by epoch with the
        same model and optimizer. The loss is NLL unless another is given. The history
        is four lists of floats, one entry per epoch.
        """
        x, y = examples(19)
        train, val = batches(x[:11], y[:11], 4), batches(x[11:], y[11:], 5)
        model, hand = one_layer(), one_layer()
        right = {"train_loss": [], "train_acc": [], "val_loss": [], "val_acc": []}
        for _ in range(3):
            weights, before, _ = sgd_by_hand(hand, train, lr=0.5)
            hand.load_state_dict(dict(zip(hand.state_dict(), weights, strict=True)))
            for name, rows in (("train", before), ("val", sgd_by_hand(hand, val)[1])):
                loss, accuracy = per_example(rows)
                right[f"{name}_loss"].append(loss)
                right[f"{name}_acc"].append(accuracy)
        history = kata.fit(
            model, train, val, torch.optim.SGD(model.parameters(), lr=0.5), 3
        )
        unlike = {
            "loss and accuracy exchanged": {
                name: right[name.replace("loss", "acc")]
                for name in right
                if "loss" in name
            },
            "training and validation exchanged": {
                "train_loss": right["val_loss"],
                "val_loss": right["train_loss"],
            },
        }
        check.close(history, right, unlike=unlike, what="history")
        check.close(
            weights_of(model),
            weights,
            **EXACT,
            what="[weight, bias] after three epochs",
        )

    def test_another_loss_may_be_given(self, kata):
        """It is used in training and in validation alike: here ten times the
        usual one.
        """
        ten = lambda outputs, labels: 10 * nn.functional.nll_loss(outputs, labels)  # noqa: E731
        model = Seesaw()
        history = kata.fit(
            model,
            *tilted(),
            torch.optim.SGD(model.parameters(), lr=0.05),
            2,
            loss_fn=ten,
        )
        weights, val_losses = tilted_by_hand(2)
        unlike = {"the usual loss, whatever was given": val_losses}
        check.close(
            history["val_loss"],
            [10 * loss for loss in val_losses],
            unlike=unlike,
            what="val_loss",
        )
        train_losses = [10 * math.log(1 + math.exp(-w)) for w in (0.0, weights[0])]
        check.close(history["train_loss"], train_losses, what="train_loss")

    def test_training_mode_returns_after_each_validation(self, kata):
        """Every epoch trains in training mode, even the second one, after the
        validation of the first.
        """
        loader, model = batches(*examples(), 11), Watched(one_layer()).eval()
        kata.fit(model, loader, loader, torch.optim.SGD(model.parameters(), lr=0.1), 3)
        check.equal(
            [*model.modes],
            [True, False] * 3,
            what="in training mode? Training and validation in turn",
        )

    def test_without_early_stopping_all_epochs_run(self, kata):
        """The model keeps its last weights, although the validation loss was
        lower before.
        """
        weights, losses = tilted_by_hand(20)
        model, history = fit_tilted(kata, 20)
        check.close(history["val_loss"], losses, what="val_loss")
        check.close(model.weight.item(), weights[-1], what="weight after fit")

    def test_stops_when_patience_has_run_out(self, kata):
        """The training loss falls for ever, the validation loss rises after a while.
        Early stopping watches the validation loss. The epoch in which `step` returns
        True is the last: best_epoch + patience.
        """
        _, losses = tilted_by_hand(40)
        best = losses.index(min(losses))
        for patience in (1, 3):
            stopper = kata.EarlyStopping(patience)
            _, history = fit_tilted(kata, 40, early_stopping=stopper)
            check.close(
                history["val_loss"],
                losses[: best + patience + 1],
                what=f"val_loss with patience {patience}",
            )
            check.equal(stopper.best_epoch, best, what="best_epoch")

    def test_the_best_weights_are_back_after_a_stop(self, kata):
        """The last epochs before the stop were bad ones, so the last weights are not
        the best.
        """
        weights, losses = tilted_by_hand(40)
        best = losses.index(min(losses))
        model, _ = fit_tilted(kata, 40, early_stopping=kata.EarlyStopping(4))
        unlike = {"the weights of the last epoch": weights[best + 4]}
        check.close(
            model.weight.item(), weights[best], unlike=unlike, what="weight after fit"
        )

    def test_the_best_weights_are_back_without_a_stop(self, kata):
        """If the epochs run out before the patience, the last ones may still have
        been bad.
        """
        weights, losses = tilted_by_hand(40)
        best = losses.index(min(losses))
        model, history = fit_tilted(
            kata, best + 3, early_stopping=kata.EarlyStopping(30)
        )
        check.equal(len(history["val_loss"]), best + 3, what="number of epochs")
        unlike = {"the weights of the last epoch": weights[best + 2]}
        check.close(
            model.weight.item(), weights[best], unlike=unlike, what="weight after fit"
        )

    @pytest.mark.edge
    def test_no_epochs_do_nothing(self, kata):
        """Four empty lists and a model as it was. Early stopping without an epoch has
        nothing to restore.
        """
        for stopper in (None, kata.EarlyStopping()):
            model, history = fit_tilted(kata, 0, early_stopping=stopper)
            check.equal(
                history,
                {"train_loss": [], "train_acc": [], "val_loss": [], "val_acc": []},
            )
            check.equal(model.weight.item(), 0.0, what="weight after no epochs")

    @pytest.mark.edge
    def test_a_run_of_nan_ends_without_an_error(self, kata):
        """If no epoch was an improvement there are no best weights, and the model keeps
        the last ones.
        """
        broken = lambda outputs, labels: (  # noqa: E731
            nn.functional.nll_loss(outputs, labels) * math.nan
        )
        _, history = fit_tilted(
            kata, 9, early_stopping=kata.EarlyStopping(2), loss_fn=broken
        )
        check.equal(
            len(history["val_loss"]), 2, what="epochs until patience 2 has run out"
        )


def small_data():
    """Pictures (20, 1, 2, 3) for training and (9, 1, 2, 3) for validation, of
    four classes.
    """
    random = np.random.default_rng(7)
    labels = random.permutation(np.arange(29) % 4)
    images = random.normal(size=(29, 1, 2, 3)) + labels[:, None, None, None] * [
        1.0,
        -1.0,
        0.5,
    ]
    x, y = torch.tensor(images, dtype=torch.float32), torch.tensor(labels)
    return (x[:20], y[:20]), (x[20:], y[20:])


def orders(kata, configs, **options):
    """Per network, the numbers of the examples in each training batch of two epochs.
    The networks are stand-ins that draw as many random weights as hidden_dims says, and
    note their inputs.
    """
    made = []

    class StandIn(nn.Module):
        def __init__(self, input_dim=784, hidden_dims=(), num_classes=10, dropout=0.0):
            super().__init__()
            self.weight, self.seen = (
                nn.Parameter(torch.randn(input_dim * sum(hidden_dims))),
                [],
            )
            made.append(self)

        def forward(self, x):
            if self.training:
                self.seen.append(x.flatten().long().tolist())
            return torch.stack(
                [0 * x.flatten(), self.weight[0] * x.flatten()], dim=1
            ).log_softmax(dim=1)

    images, labels = torch.arange(20.0).reshape(20, 1, 1, 1), torch.arange(20) % 2
    with mock.patch.object(kata, "FashionMNISTModel", StandIn):
        kata.compare_depths(
            (images, labels), (images[:3], labels[:3]), configs, epochs=2, **options
        )
    return [model.seen for model in made]


def adam_by_hand(kata, seed, epochs, train, val, lr):
    """Validation losses of a network with 5 hidden units that is built right after the
    seed, one batch per epoch.
    """
    torch.manual_seed(seed)
    model = kata.FashionMNISTModel(6, (5,), 4)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    losses = []
    for _ in range(epochs):
        optimizer.zero_grad()
        nn.functional.nll_loss(model(train[0]), train[1]).backward()
        optimizer.step()
        losses.append(
            -by_hand(model, val[0])[torch.arange(len(val[1])), val[1]].mean().item()
        )
    return losses


@pytest.mark.stretch
class TestCompareDepths:
    def test_one_dict_for_each_network(self, kata):
        """In the order of hidden_configs, with all that a comparison needs: the layers
        as a tuple, the size of the network and its results.
        """
        got = kata.compare_depths(*small_data(), [[5], (4, 3), ()], epochs=2)
        check.that(
            isinstance(got, list) and len(got) == 3,
            f"expected a list of 3 dicts, got {check.describe(got)}",
        )
        for result in got:
            keys = ["hidden_dims", "num_parameters", "val_loss", "val_acc", "history"]
            right = isinstance(result, dict) and sorted(result) == sorted(keys)
            check.that(
                right,
                f"got {check.describe(result)}, expected a dict with the keys {keys}",
            )
        check.equal(
            [result["hidden_dims"] for result in got],
            [(5,), (4, 3), ()],
            what="hidden_dims",
        )

    def test_parameters_are_counted(self, kata):
        """Every weight and every bias. The input is as wide as one training image, 2·3
        pixels; the labels are of four classes.
        """
        got = kata.compare_depths(*small_data(), [(5,), (4, 3), ()], epochs=1)
        expected = [
            (6 + 1) * 5 + (5 + 1) * 4,
            (6 + 1) * 4 + (4 + 1) * 3 + (3 + 1) * 4,
            (6 + 1) * 4,
        ]
        unlike = {"weights without biases": [50, 48, 24]}
        check.equal(
            [result["num_parameters"] for result in got],
            expected,
            unlike=unlike,
            what="num_parameters",
        )

    def test_results_are_those_of_the_last_epoch(self, kata):
        """val_loss and val_acc are the last entries of the history that `fit` returned.
        The best epoch may be an earlier one, but all networks are compared after the
        same training.
        """
        for result in kata.compare_depths(
            *small_data(), [(9,), (9, 9)], epochs=30, lr=0.1
        ):
            history = result["history"]
            lengths = dict.fromkeys(
                ("train_loss", "train_acc", "val_loss", "val_acc"), 30
            )
            check.equal(
                {name: len(values) for name, values in history.items()},
                lengths,
                what="lengths in history",
            )
            for name, best in (("val_loss", min), ("val_acc", max)):
                unlike = {"the best epoch, not the last": best(history[name])}
                check.equal(result[name], history[name][-1], unlike=unlike, what=name)

    def test_the_network_starts_from_the_seed(self, kata):
        """torch.manual_seed(seed), then the model, then Adam at lr. In one batch of all
        examples their order does not matter, so the losses are known.
        """
        train, val = small_data()
        got = kata.compare_depths(
            train, val, [(5,)], epochs=4, batch_size=20, lr=0.02, seed=3
        )
        expected = adam_by_hand(kata, 3, 4, train, val, 0.02)
        check.close(
            got[0]["history"]["val_loss"],
            expected,
            rtol=1e-3,
            what="val_loss of each epoch",
        )

    def test_a_result_does_not_depend_on_its_place(self, kata):
        """Each network has the same start and the same order of batches, whichever was
        trained before it. Set the seed again for each network, and make a new generator
        that shuffles.
        """
        data, configs = small_data(), [(5,), (4, 3)]
        for lr, state in ((0.0, "untrained (lr=0)"), (0.02, "trained")):
            forwards = kata.compare_depths(
                *data, configs, epochs=3, batch_size=6, lr=lr
            )
            backwards = kata.compare_depths(
                *data, configs[::-1], epochs=3, batch_size=6, lr=lr
            )
            for here, there in zip(forwards, backwards[::-1], strict=True):
                what = (
                    f"val_loss of {here['hidden_dims']} {state}, with the configs in "
                    "the other order"
                )
                check.close(
                    there["history"]["val_loss"],
                    here["history"]["val_loss"],
                    rtol=1e-3,
                    what=what,
                )

    def test_the_data_are_shuffled(self, kata):
        """Data often come sorted, and a batch of neighbours is not a fair sample. Every
        epoch goes once through all examples, in batches of batch_size, in another order
        than that of the data.
        """
        [seen] = orders(kata, [(5,)], batch_size=6)
        check.equal(
            [len(batch) for batch in seen],
            [6, 6, 6, 2] * 2,
            what="sizes of the batches of two epochs",
        )
        for epoch in (seen[:4], seen[4:]):
            order = [number for batch in epoch for number in batch]
            check.equal(
                sorted(order), list(range(20)), what="examples of an epoch, sorted"
            )
            check.that(
                order != sorted(order),
                "the examples came in the order of the data: nothing was shuffled",
            )

    def test_all_networks_meet_the_same_batches(self, kata):
        """Each network's data are shuffled by a new generator with the seed. The global
        generator has drawn the weights, more of them for a larger network, and would go
        on with another order.
        """
        first, second = orders(kata, [(5,), (4, 3)], batch_size=6)
        check.that(
            first == second, "the second network met other batches than the first"
        )
        [other] = orders(kata, [(5,)], batch_size=6, seed=1)
        check.that(
            first != other,
            "two seeds shuffle the data alike: the generator is not seeded",
        )

    @pytest.mark.timeout(60)
    def test_both_depths_learn_digits(self, kata):
        """After three epochs on 1400 digits, either network classifies most of the
        other 397 correctly.
        """
        images, labels = digits()
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(1))
        train, val = (
            (images[part], labels[part]) for part in (order[:1400], order[1400:])
        )
        for result in kata.compare_depths(train, val, epochs=3, batch_size=32, lr=3e-3):
            reached = (
                f"{result['hidden_dims']} reaches an accuracy of "
                f"{result['val_acc']:.2f} on new digits"
            )
            check.that(result["val_acc"] >= 0.88, f"{reached}, expected 0.88 or more")

    @pytest.mark.edge
    def test_a_class_may_be_missing(self, kata):
        """Labels 0, 1 and 3 need four scores, although no training image shows
        class 2.
        """
        (x, y), val = small_data()
        got = kata.compare_depths((x[y != 2], y[y != 2]), val, [()], epochs=1)
        check.equal(
            got[0]["num_parameters"],
            (6 + 1) * 4,
            unlike={"a score per different label": 21},
        )


def idx(array, kind=8, order=">"):
    """The bytes of an IDX file."""
    return (
        bytes([0, 0, kind, array.ndim])
        + struct.pack(f"{order}{array.ndim}I", *array.shape)
        + array.tobytes()
    )


def pictures():
    """300 pictures of 3×2 pixels: 300 does not fit into one byte, so the order of the
    bytes of a size shows.
    """
    return np.random.default_rng(9).integers(0, 256, size=(300, 3, 2), dtype=np.uint8)


@pytest.mark.stretch
class TestReadIdx:
    def test_pictures_come_back(self, kata, tmp_path):
        """Three sizes, then the pixels, row by row. A size is four bytes, the most
        significant first: 300 is 00 00 01 2c. In the other byte order it is over
        700 million.
        """
        array = pictures()
        file = tmp_path / "pictures.idx"
        file.write_bytes(idx(array))
        check.equal(kata.read_idx(file), torch.tensor(array))

    def test_labels_come_back(self, kata, tmp_path):
        """Labels have one size only, so their header has 8 bytes and not 16: the fourth
        byte is the number of sizes. The path may be a str.
        """
        array = pictures()[:, 0, 0] % 10
        file = tmp_path / "labels.idx"
        file.write_bytes(idx(array))
        check.equal(kata.read_idx(str(file)), torch.tensor(array))

    def test_packed_files_are_unpacked(self, kata, tmp_path):
        """The files are distributed compressed by gzip."""
        array = pictures()
        file = tmp_path / "packed.gz"
        file.write_bytes(gzip.compress(idx(array)))
        check.equal(kata.read_idx(file), torch.tensor(array))

    @given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=5))
    def test_any_shape_comes_back(self, kata, tmp_path, sizes):
        """The fourth byte is the number of sizes, and that many follow."""
        array = np.arange(math.prod(sizes), dtype=np.uint8).reshape(sizes)
        file = tmp_path / "numbers.idx"
        file.write_bytes(idx(array))
        check.equal(kata.read_idx(file), torch.tensor(array))

    def test_the_given_loader_builds_on_it(self, kata, tmp_path):
        """`load_fashion_mnist` reads two files through `read_idx`. It gives images with
        a channel, from 0 to 1, and labels as int64.
        """
        array = pictures()
        for name, content in (
            ("t10k-images-idx3-ubyte.gz", array),
            ("t10k-labels-idx1-ubyte.gz", array[:, 0, 0] % 10),
        ):
            (tmp_path / name).write_bytes(gzip.compress(idx(content)))
        images, labels = kata.load_fashion_mnist(tmp_path, "test")
        check.close(
            images, torch.tensor(array).unsqueeze(1).double() / 255, what="images"
        )
        check.equal(labels, torch.tensor(array[:, 0, 0] % 10).long(), what="labels")

    @pytest.mark.edge
    def test_the_first_two_bytes_tell_gzip(self, kata, tmp_path):
        """A gzip file begins with 1f 8b. Its name can be wrong."""
        array = pictures()
        for name, content in (
            ("packed.idx", gzip.compress(idx(array))),
            ("plain.gz", idx(array)),
        ):
            file = tmp_path / name
            file.write_bytes(content)
            check.equal(
                kata.read_idx(file), torch.tensor(array), what=f"content of {name}"
            )

    @pytest.mark.edge
    def test_the_memory_is_its_own(self, kata, tmp_path):
        """Python's `bytes` are read-only, and PyTorch warns of a tensor that shares
        their memory. A copy, or a `bytearray`, is safe to write to.
        """
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
        said = [
            str(w.message).split(".")[0]
            for w in caught
            if issubclass(w.category, UserWarning)
        ]
        check.that(not said, f"a warning: {said[0] if said else ''}")
        tensor.fill_(7)
        check.equal(
            kata.read_idx(file),
            torch.tensor(array),
            what="the result of a second reading",
        )

    @pytest.mark.edge
    def test_a_truncated_payload_is_an_error(self, kata, tmp_path):
        """A broken download must not become a smaller data set, or a puzzling error
        from `reshape`. The message names the file, says "truncated", and gives the
        expected and the actual number of bytes.
        """
        file = tmp_path / "pictures.idx"
        for there in (1467, 0):
            file.write_bytes(idx(pictures())[: 16 + there])
            with check.raises(ValueError, "pictures.idx", "truncated", 1800, there):
                kata.read_idx(file)

    @pytest.mark.edge
    def test_a_truncated_header_is_an_error(self, kata, tmp_path):
        """The file may end within the sizes or within the first four bytes, or
        be empty.
        """
        file = tmp_path / "pictures.idx"
        for length in (15, 8, 4, 3, 0):
            file.write_bytes(idx(pictures())[:length])
            with check.raises(ValueError, "pictures.idx", "truncated"):
                kata.read_idx(file)

    @pytest.mark.edge
    def test_a_cut_gzip_stream_is_an_error(self, kata, tmp_path):
        """gzip raises an EOFError that does not name the file."""
        content = gzip.compress(idx(pictures()))
        file = tmp_path / "pictures.gz"
        for length in (len(content) - 1, len(content) // 2, 12, 2):
            file.write_bytes(content[:length])
            with check.raises(ValueError, "pictures.gz", "truncated"):
                kata.read_idx(file)

    @pytest.mark.edge
    def test_bytes_left_over_are_an_error(self, kata, tmp_path):
        """Sizes and elements have to agree. Bytes left over mean that the header is
        wrong, and so is every image.
        """
        file = tmp_path / "pictures.idx"
        file.write_bytes(idx(pictures()) + b"\0")
        with check.raises(ValueError, "pictures.idx"):
            kata.read_idx(file)

    @pytest.mark.edge
    def test_another_beginning_is_an_error(self, kata, tmp_path):
        """The first two bytes of an IDX file are zero, and it has at least one size."""
        array = pictures()[:, 0, 0]
        file = tmp_path / "labels.idx"
        others = [begin + idx(array)[2:] for begin in (b"\x01\x00", b"\x00\x01", b"PK")]
        for content in (*others, bytes([0, 0, 8, 0, 5])):
            file.write_bytes(content)
            with check.raises(ValueError, "labels.idx"):
                kata.read_idx(file)

    @pytest.mark.edge
    def test_another_type_is_an_error(self, kata, tmp_path):
        """0d are floats of four bytes, 0b are shorts: read as unsigned bytes they are
        nonsense. The message shows the type in hex, as tables of file formats do.
        """
        file = tmp_path / "numbers.idx"
        for kind, shown in ((0x0D, "0d"), (0x0B, "0b"), (0x1C, "1c"), (0x07, "07")):
            file.write_bytes(idx(pictures()[:, 0, 0], kind))
            with check.raises(ValueError, "numbers.idx", shown):
                kata.read_idx(file)

    @pytest.mark.edge
    def test_a_missing_file_is_a_missing_file(self, kata, tmp_path):
        """FileNotFoundError says it best, and callers look for it."""
        with check.raises(FileNotFoundError):
            kata.read_idx(tmp_path / "nowhere.idx")
