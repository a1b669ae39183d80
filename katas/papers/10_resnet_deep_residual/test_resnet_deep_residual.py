"""Specs of kata papers/10: residual blocks in NumPy and PyTorch, deep nets with and
without shortcuts, training.
"""

import copy
import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from grader.datasets import digits
from grader.specs import check, training

# images, channels in, channels out, height, width
B, I, O, H, W = 3, 4, 6, 7, 5  # noqa: E741


def dense():
    """x, W1, b1, W2, b2 of a block from 5 features over 7 hidden ones, as
    float64 tensors.
    """
    shapes = (B, 5), (7, 5), (7,), (5, 7), (5,)
    return [torch.randn(shape, dtype=torch.float64) for shape in shapes]


@pytest.mark.stretch
class TestResidualBlockNumpy:
    def test_equals_the_block_in_torch(self, kata):
        """The block is relu(x + F(x)): the input is added to the result of the second
        layer, and the relu comes after the sum.
        """
        x, W1, b1, W2, b2 = dense()
        branch = F.linear(F.linear(x, W1, b1).relu(), W2, b2)
        unlike = {
            "x is not added": branch.relu(),
            "x is added after the second relu": x + branch.relu(),
            "a second relu before the sum": (x + branch.relu()).relu(),
            "no relu after the sum": x + branch,
            "no relu between the layers": (
                x + F.linear(F.linear(x, W1, b1), W2, b2)
            ).relu(),
            "b2 is left out": (x + branch - b2).relu(),
        }
        unlike = {name: wrong.numpy() for name, wrong in unlike.items()}
        got = kata.residual_block_numpy(*(part.numpy() for part in (x, W1, b1, W2, b2)))
        check.close(
            got, (x + branch).relu().numpy(), rtol=1e-4, atol=1e-5, unlike=unlike
        )

    def test_a_second_layer_of_zeros_leaves_relu_of_x(self, kata):
        """This is why depth costs nothing here: a block that should do nothing only has
        to push W2 and b2 to zero.
        """
        x, W1, b1, W2, b2 = (part.numpy() for part in dense())
        got = kata.residual_block_numpy(x, W1, b1, 0 * W2, 0 * b2)
        check.close(got, np.where(x > 0, x, 0.0), rtol=1e-4, atol=1e-5)

    @pytest.mark.edge
    def test_has_the_precision_of_float64(self, kata):
        """Arrays in float64 stay in float64 at every step."""
        x, W1, b1, W2, b2 = dense()
        expected = (x + F.linear(F.linear(x, W1, b1).relu(), W2, b2)).relu()
        got = kata.residual_block_numpy(*(part.numpy() for part in (x, W1, b1, W2, b2)))
        check.close(got, expected.numpy(), rtol=1e-9, atol=1e-9)

    @pytest.mark.edge
    def test_the_input_is_not_written_to(self, kata):
        """The caller still needs x. `x += …` would change it."""
        x, *weights = (part.numpy() for part in dense())
        before = x.copy()
        kata.residual_block_numpy(x, *weights)
        check.equal(x, before, what="x after the call")


def lively(module):
    """The module with random weights and statistics, in eval mode, and all of them by
    name in float64.
    """
    with torch.no_grad():
        for name, value in [*module.named_parameters(), *module.named_buffers()]:
            if value.ndim > 1:
                value.copy_(torch.randn(value.shape) / value[0].numel() ** 0.5)
            elif value.is_floating_point():
                positive = name.endswith(("weight", "running_var"))
                value.copy_(
                    torch.rand(value.shape) + 0.5
                    if positive
                    else torch.randn(value.shape) / 2
                )
    return module.eval(), {
        name: value.detach().double() for name, value in module.state_dict().items()
    }


def normalised(w, name, x):
    """Batch norm in eval mode, by hand."""
    mean, var, weight, bias = (
        w[f"{name}.{part}"][:, None, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return (x - mean) / (var + 1e-5).sqrt() * weight + bias


def branch_of(w, x, stride=1, *, second=1, between=torch.relu, last="bn2"):
    """The two convolutions of a block, without shortcut and last relu. The options
    are slips.
    """
    hidden = between(
        normalised(w, "bn1", F.conv2d(x, w["conv1.weight"], stride=stride, padding=1))
    )
    return normalised(
        w, last, F.conv2d(hidden, w["conv2.weight"], stride=second, padding=1)
    )


def slips_of_branch(w, x):
    """By name, what some slips in the branch lead to."""
    return {
        "no relu between the convolutions": branch_of(
            w, x, between=lambda hidden: hidden
        ),
        "bn1 is used twice": branch_of(w, x, last="bn1"),
    }


def projected(w, x, stride):
    """The projection of a block: a 1×1 convolution is a matrix product at each kept
    place. Before its batch norm.
    """
    return torch.einsum(
        "oi,bihw->bohw", w["shortcut.0.weight"][:, :, 0, 0], x[:, :, ::stride, ::stride]
    )


def images(channels=I, *, height=H, width=W, **options):
    return torch.randn(B, channels, height, width, **options)


@st.composite
def sizes(draw):
    """Height and width of an image, and a stride."""
    return (
        draw(st.integers(1, 9)),
        draw(st.integers(1, 9)),
        draw(st.sampled_from([1, 2])),
    )


class TestBasicBlock:
    def test_two_convolutions_and_two_batch_norms(self, kata):
        """conv1 and conv2 have no bias: batch norm subtracts the mean, and would take
        it out again. bn1 and bn2 are two modules with parameters of their own.
        """
        block = kata.BasicBlock(I, O, residual=False)
        expected = {"conv1.weight": (O, I, 3, 3), "conv2.weight": (O, O, 3, 3)}
        expected |= {
            f"bn{i}.{part}": (O,) for i in (1, 2) for part in ("weight", "bias")
        }
        got = {
            name: tuple(parameter.shape) for name, parameter in block.named_parameters()
        }
        check.equal(got, expected, what="the parameters of the block")

    def test_the_plain_block_adds_nothing(self, kata):
        """With residual=False there is no shortcut: `shortcut` is None, and the output
        is the branch after its last relu.
        """
        block, w = lively(kata.BasicBlock(I, I, residual=False))
        check.that(
            block.shortcut is None,
            "With residual=False there is no shortcut, so `shortcut` is None",
        )
        x = images()
        branch = branch_of(w, x.double())
        unlike = {"x is added": (branch + x).relu(), "no last relu": branch}
        unlike |= {
            name: wrong.relu() for name, wrong in slips_of_branch(w, x.double()).items()
        }
        check.close(block(x), branch.relu(), unlike=unlike)

    def test_the_identity_has_no_parameters(self, kata):
        """Where the shapes match the shortcut is `nn.Identity()`. So the residual block
        has exactly as many parameters as the plain one: that makes the comparison of
        deep nets a fair one.
        """
        block, plain = kata.BasicBlock(I, I), kata.BasicBlock(I, I, residual=False)
        found = type(block.shortcut).__name__
        check.that(
            isinstance(block.shortcut, nn.Identity),
            f"shortcut is {found}, expected nn.Identity()",
        )
        counts = [
            sum(parameter.numel() for parameter in one.parameters())
            for one in (block, plain)
        ]
        check.equal(
            counts[0], counts[1], what="the number of parameters of the residual block"
        )

    def test_the_input_is_added_before_the_last_relu(self, kata):
        """The sum of branch and input goes through the relu. A relu on the branch alone
        could only ever add to x, and never take anything away from it.
        """
        block, w = lively(kata.BasicBlock(I, I))
        x = images()
        branch = branch_of(w, x.double())
        unlike = {
            "x is not added": branch.relu(),
            "x is added after the last relu": branch.relu() + x,
            "the branch goes through a relu of its own before the sum": (
                branch.relu() + x
            ).relu(),
            "no relu after the sum": branch + x,
            "relu(x) is added, not x": (branch + x.relu()).relu(),
        }
        unlike |= {
            name: (wrong + x).relu()
            for name, wrong in slips_of_branch(w, x.double()).items()
        }
        check.close(block(x), (branch + x).relu(), unlike=unlike)

    def test_an_idle_branch_leaves_relu_of_x(self, kata):
        """With bn2.weight = bn2.bias = 0 the branch is zero, whatever the other weights
        are. "Do nothing" is that easy for a residual block.
        """
        block, _ = lively(kata.BasicBlock(I, I))
        x = images()
        with torch.no_grad():
            block.bn2.weight.zero_()
            block.bn2.bias.zero_()
            got = block.train()(x)
        check.close(
            got,
            x.relu(),
            unlike={"x is not added": torch.zeros_like(x), "no last relu": x},
        )

    def test_a_projection_stands_where_the_shape_changes(self, kata):
        """An identity cannot be added if the channels or the size of the map change.
        There the shortcut is a 1×1 convolution with the stride of conv1.
        """
        for channels, stride in ((O, 1), (I - 1, 1), (I, 2), (O, 2)):
            case = f"BasicBlock({I}, {channels}, stride={stride})"
            shortcut = kata.BasicBlock(I, channels, stride).shortcut
            check.that(
                not isinstance(shortcut, nn.Identity),
                f"in {case} the shortcut is nn.Identity()",
            )
            got = {
                name: tuple(parameter.shape)
                for name, parameter in shortcut.named_parameters()
            }
            conv = got.get("0.weight")
            check.that(
                conv == (channels, I, 1, 1),
                f"the weight of shortcut[0] of {case} is {conv}, not "
                f"{(channels, I, 1, 1)}",
            )
            check.that(
                "0.bias" not in got,
                f"shortcut[0] of {case} has a bias; the batch norm after it makes it "
                "idle",
            )

    def test_a_projection_has_a_batch_norm(self, kata):
        """The projection is a 1×1 convolution and its own batch norm, so that both
        summands have the same scale.
        """
        block, w = lively(kata.BasicBlock(I, O, stride=2))
        got = ", ".join(type(module).__name__ for module in block.shortcut)
        check.that(
            got == "Conv2d, BatchNorm2d",
            f"the shortcut holds {got}, expected Conv2d, BatchNorm2d",
        )
        x = images()
        branch, shortcut = branch_of(w, x.double(), 2), projected(w, x.double(), 2)
        unlike = {
            "the projection is not added": branch.relu(),
            "the batch norm of the projection is left out": (branch + shortcut).relu(),
        }
        shortcut, late = (
            normalised(w, "shortcut.1", shortcut),
            branch_of(w, x.double(), second=2),
        )
        unlike["conv2 has the stride, not conv1"] = (late + shortcut).relu()
        check.close(block(x), (branch + shortcut).relu(), unlike=unlike)

    @given(case=sizes())
    def test_stride_2_halves_height_and_width(self, kata, case):
        """A map of 7×5 becomes one of 4×3: odd sizes are rounded up. The stride is
        taken once: conv2 keeps the size.
        """
        height, width, stride = case
        for residual in (False, True):
            block = kata.BasicBlock(2, 3, stride, residual).eval()
            strides = [block.conv1.stride[0], block.conv2.stride[0]]
            says = f"conv1 and conv2 have the strides {strides} for stride={stride}"
            check.that(
                strides == [stride, 1], f"{says}; only conv1 and the projection have it"
            )
            got = block(torch.randn(B, 2, height, width))
            check.shape(got, (B, 3, -(-height // stride), -(-width // stride)))

    def test_gradients_flow_through_branch_and_shortcut(self, kata):
        """The gradient of the sum reaches x on both ways. A detached shortcut would
        lose the way that has no weights in it.
        """
        for channels, stride in ((I, 1), (O, 2)):
            block, w = lively(kata.BasicBlock(I, channels, stride))

            def expected(x):
                x = x.double()
                shortcut = (
                    x
                    if stride == 1
                    else normalised(w, "shortcut.1", projected(w, x, stride))
                )
                return (branch_of(w, x, stride) + shortcut).relu()

            check.gradients(block, expected, images())

    @pytest.mark.edge
    def test_the_input_is_not_written_to(self, kata):
        """The shortcut hands on x itself. `x += …` or an in-place relu on it would
        write into the caller's tensor.
        """
        for x in (images(), images(requires_grad=True)):
            for options in check.modes(residual=[False]):
                block = kata.BasicBlock(I, I, **options)
                with check.unchanged(x=x):
                    block(x)

    @pytest.mark.edge
    def test_a_float64_block_computes_in_float64(self, kata):
        """Nothing in the block goes through float32."""
        block, w = lively(kata.BasicBlock(I, O, stride=2).double())
        x = images(dtype=torch.float64)
        shortcut = normalised(w, "shortcut.1", projected(w, x, 2))
        check.close(block(x), (branch_of(w, x, 2) + shortcut).relu())


def convolutions(model):
    """The kernel sizes of all convolutions."""
    return [
        module.kernel_size
        for module in model.modules()
        if isinstance(module, nn.Conv2d)
    ]


def strided_maps(n):
    """The height of the map after each block for 8×8 images, if every block of the
    second stage has stride 2.
    """
    heights = [8] * n
    for _ in range(n):
        heights.append(-(-heights[-1] // 2))
    return heights


class TestResNet:
    def test_depth_is_4n_plus_2(self, kata):
        """Two stages of n blocks, each with two 3×3 convolutions, make 4n; the stem and
        the head are the other two layers. One projection, where the stages meet, is
        not counted.
        """
        for n in (1, 3):
            model = kata.ResNet(n)
            check.equal(
                len(model.blocks), 2 * n, what=f"the number of blocks for n = {n}"
            )
            check.equal(
                convolutions(model).count((3, 3)),
                4 * n + 1,
                what=f"3×3 convolutions for n = {n}",
            )
            unlike = {
                "a projection in every block of the second stage": n,
                "a projection in every block": 2 * n,
            }
            check.equal(
                convolutions(model).count((1, 1)),
                1,
                unlike=unlike,
                what=f"1×1 convolutions for n = {n}",
            )
            own = all(isinstance(block, kata.BasicBlock) for block in model.blocks)
            check.that(
                own,
                f"the blocks are {type(model.blocks[0]).__name__}, expected BasicBlock",
            )

    def test_the_stem_turns_one_channel_into_width_channels(self, kata):
        """Convolution, batch norm, relu. The blocks need an input that has their own
        number of channels.
        """
        stem, w = lively(kata.ResNet(1, width=5).stem)
        check.that(
            "0.bias" not in w,
            "the convolution of the stem has a bias; the batch norm after it makes it "
            "idle",
        )
        x = images(1)
        before = normalised(w, "1", F.conv2d(x.double(), w["0.weight"], padding=1))
        check.close(stem(x), before.relu(), unlike={"the relu is missing": before})

    def test_the_second_stage_has_twice_the_channels_and_half_the_map(self, kata):
        """The first block of the second stage doubles the channels and halves height
        and width. All others keep the shape.
        """
        n, width = 3, 5
        model = kata.ResNet(n, width).eval()
        x, got = model.stem(torch.randn(B, 1, 8, 8)), []
        for block in model.blocks:
            x = block(x)
            got.append(tuple(x.shape))
        expected = [(B, width, 8, 8)] * n + [(B, 2 * width, 4, 4)] * n
        channels = [width] * n + [2 * width] * n
        strided = [
            (B, c, side, side)
            for c, side in zip(channels, strided_maps(n), strict=True)
        ]
        unlike = {
            "every block of the second stage has stride 2": strided,
            "no block has stride 2": [(B, c, 8, 8) for c in channels],
            "the second stage has no more channels": [
                (B, width, side, side) for *_, side, _ in expected
            ],
        }
        check.equal(got, expected, what="the shapes after each block", unlike=unlike)

    def test_the_head_reads_the_mean_of_each_map(self, kata):
        """The mean over height and width leaves one number per channel, for images of
        any size.
        """
        model, _ = lively(kata.ResNet(2, width=3, num_classes=4))
        for height, width in ((8, 8), (12, 9)):
            x = torch.randn(B, 1, height, width)
            maps = model.blocks(model.stem(x))
            check.shape(model(x), (B, 4))
            expected = model.head(maps.flatten(2).sum(dim=2) / maps[0, 0].numel())
            unlike = {
                "the maximum of each map": model.head(maps.amax(dim=(2, 3))),
                "the sum of each map": model.head(maps.sum(dim=(2, 3))),
                "one place of each map": model.head(maps[:, :, 0, 0]),
                "a softmax at the end": expected.softmax(dim=1),
            }
            check.close(model(x), expected.detach(), unlike=unlike)

    def test_the_plain_net_has_no_shortcut_in_any_block(self, kata):
        """The flag goes to all blocks of both stages. Plain and residual net differ in
        one projection only: 2w · w + 2 · 2w parameters.
        """
        plain, residual = (
            kata.ResNet(2, width=3, residual=flag) for flag in (False, True)
        )
        with_shortcut = [
            place
            for place, block in enumerate(plain.blocks)
            if block.shortcut is not None
        ]
        check.equal(with_shortcut, [], what="blocks with a shortcut in the plain net")
        without = [
            place
            for place, block in enumerate(residual.blocks)
            if block.shortcut is None
        ]
        check.equal(without, [], what="blocks without a shortcut in the residual net")
        more, fewer = (
            sum(parameter.numel() for parameter in net.parameters())
            for net in (residual, plain)
        )
        check.equal(
            more - fewer,
            6 * 3 + 2 * 6,
            what="parameters of the residual net beyond those of the plain one",
        )

    @pytest.mark.edge
    def test_a_net_without_blocks_is_an_error(self, kata):
        """With n = 0 the head would have no second stage to read."""
        with check.raises(ValueError):
            kata.ResNet(0)


def measured(kata):
    """A small net, and a batch to measure its gradients on."""
    torch.manual_seed(5)
    return kata.ResNet(2, width=3), torch.randn(11, 1, 8, 8), torch.arange(11) % 10


def norms_by_name(model, x, y, layer="conv1", reduction="mean"):
    """The norm of the gradient of each block's layer, measured on a copy."""
    model = copy.deepcopy(model)
    F.cross_entropy(model(x), y, reduction=reduction).backward()
    found = dict(model.named_parameters())
    return [
        found[f"blocks.{place}.{layer}.weight"].grad.double().pow(2).sum().sqrt().item()
        for place in range(len(model.blocks))
    ]


@pytest.mark.stretch
class TestInitGradientNorms:
    def test_one_norm_per_block_first_block_first(self, kata):
        """The list shows what happens to a gradient on its way from the head to the
        stem. It starts with the block that the gradient reaches last.
        """
        model, x, y = measured(kata)
        expected = norms_by_name(model, x, y)
        unlike = {
            "the last block comes first": expected[::-1],
            "norms of conv2": norms_by_name(model, x, y, "conv2"),
            "squared norms": [norm**2 for norm in expected],
            "norms for the sum of the losses": norms_by_name(
                model, x, y, reduction="sum"
            ),
            "norms of a pass in eval mode": norms_by_name(
                copy.deepcopy(model).eval(), x, y
            ),
        }
        got = kata.init_gradient_norms(model, x, y)
        check.close(got, expected, rtol=1e-3, unlike=unlike)

    def test_the_pass_is_in_train_mode(self, kata):
        """Batch norm hands gradients on differently in eval mode. A fresh net is about
        to be trained, so train mode counts, also for a model that comes in eval mode.
        """
        model, x, y = measured(kata)
        expected = norms_by_name(model, x, y)
        unlike = {"norms of a pass in eval mode": norms_by_name(model.eval(), x, y)}
        check.close(
            kata.init_gradient_norms(model, x, y), expected, rtol=1e-3, unlike=unlike
        )

    @pytest.mark.edge
    def test_no_gradient_is_left(self, kata):
        """A measurement leaves no trace: gradients that it left would be added to those
        of the first step. Nor do old ones disturb it, and they stay.
        """
        model, x, y = measured(kata)
        expected = norms_by_name(model, x, y)
        kata.init_gradient_norms(model, x, y)
        for name, parameter in model.named_parameters():
            check.that(
                parameter.grad is None,
                f"{name}.grad is there after the call, and was None before",
            )
        for parameter in model.parameters():
            parameter.grad = torch.ones_like(parameter)
        got = kata.init_gradient_norms(model, x, y)
        check.close(
            got, expected, rtol=1e-3, what="norms of a model with old gradients"
        )
        for name, parameter in model.named_parameters():
            check.equal(
                parameter.grad,
                torch.ones_like(parameter),
                what=f"{name}.grad, which was all ones before",
            )

    @pytest.mark.edge
    def test_running_statistics_are_as_before(self, kata):
        """A pass in train mode moves the running means and variances, and counts one
        more batch. A measurement puts them back.
        """
        model, x, y = measured(kata)
        before = {name: buffer.clone() for name, buffer in model.named_buffers()}
        kata.init_gradient_norms(model, x, y)
        check.equal(dict(model.named_buffers()), before, what="buffers")

    @pytest.mark.edge
    def test_the_mode_is_as_before(self, kata):
        """A model that was in eval mode is so again, with all its parts."""
        model, x, y = measured(kata)
        for mode in (True, False):
            model.train(mode)
            kata.init_gradient_norms(model, x, y)
            modes = {module.training for module in model.modules()}
            check.that(
                modes == {mode},
                f"`training` was {mode} everywhere, and is now {sorted(modes)} among "
                "the parts",
            )


class Reader(nn.Module):
    """A linear classifier whose inputs are row numbers: it notes which rows it reads,
    and in which mode.
    """

    def __init__(self, rows=40, features=6, classes=4, scale=1.0):
        super().__init__()
        self.register_buffer("inputs", torch.randn(rows, features))
        self.linear = nn.Linear(features, classes)
        self.scale = scale
        self.read, self.modes = [], []

    def forward(self, x):
        rows = x[:, 0].long()
        self.read.append(rows)
        self.modes.append(self.training)
        return self.scale * self.linear(self.inputs[rows])


NUMBERS, LABELS = torch.arange(40.0)[:, None], torch.arange(40) % 4


@functools.cache
def final_loss(kata, blocks_per_stage, residual, **size):
    """The mean training loss of the last 10 steps on 300 digits."""
    order = torch.randperm(1797, generator=torch.Generator().manual_seed(0))[:300]
    x, y = (part[order] for part in digits())
    torch.manual_seed(0)
    model = kata.ResNet(blocks_per_stage, residual=residual)
    losses = kata.train_net(
        model, x, y, generator=torch.Generator().manual_seed(0), **size
    )
    return sum(losses[-10:]) / 10


class TestTrainNet(training.Contract):
    """SGD with momentum and weight decay, on random batches."""

    model, optimizer, settings = (
        Reader,
        torch.optim.SGD,
        {"momentum": 0.9, "weight_decay": 1e-4},
    )
    lr, default_lr, steps = 0.2, 0.05, 4
    slips = {
        "no momentum": {"settings": {"momentum": 0.0}},
        "Adam": {"optimizer": torch.optim.Adam},
    }

    def train(self, kata, model, **options):
        return kata.train_net(model, NUMBERS, LABELS, batch=8, **options)

    def loss(self, model, rows):
        return F.cross_entropy(model(NUMBERS[rows]), LABELS[rows])

    def test_each_step_reads_a_new_batch(self, kata):
        """A step draws `batch` rows at random, of all of them."""
        model = Reader()
        kata.train_net(model, NUMBERS, LABELS, steps=100, batch=8)
        check.equal(
            [len(rows) for rows in model.read],
            100 * [8],
            what="rows per pass through the model",
        )
        check.that(
            not torch.equal(*model.read[:2]),
            "steps 0 and 1 read the same rows: draw new ones per step",
        )
        read = sorted({int(row) for rows in model.read for row in rows})
        check.equal(
            read,
            [*range(40)],
            what="rows read in 100 steps",
            unlike={"the first `batch` rows": [*range(8)]},
        )

    def test_weight_decay_shrinks_every_parameter(self, kata):
        """This model's logits are always 0, and so are its gradients. What still moves
        the parameters is the weight decay of 1e-4, here at a learning rate of 100.
        """
        model = Reader(scale=0.0)
        fresh = copy.deepcopy(model)
        self.train(kata, model, steps=3, lr=100.0)
        _, moved = self.by_hand(fresh, model.read, lr=100.0)
        for name, start in fresh.named_parameters():
            got, start, unlike = (
                model.get_parameter(name).detach(),
                start.detach(),
                {"no weight decay": start.detach()},
            )
            check.close(
                got, start + moved[name], unlike=unlike, what=f"{name} after 3 steps"
            )

    @pytest.mark.timeout(60)
    def test_six_plain_layers_train(self, kata):
        """A shallow plain net learns the digits in the default 150 steps. So neither
        the data nor the trainer is to blame for what happens to a deep one.
        """
        loss = final_loss(kata, 1, False)
        check.that(
            loss < 0.4,
            f"the training loss of 6 plain layers is {loss:.2f} at the end, expected "
            "less than 0.4",
        )

    @pytest.mark.timeout(60)
    def test_thirty_eight_plain_layers_degrade(self, kata):
        """The deep plain net could copy the shallow one and do nothing in the other 32
        layers. It has the higher training loss all the same, so this is no overfitting:
        SGD does not find that solution.
        """
        deep, shallow = (
            final_loss(kata, blocks, False, steps=45, batch=64) for blocks in (9, 1)
        )
        says = f"the training loss of 38 plain layers is {deep:.2f} after 45 steps"
        check.that(
            deep > 1.2,
            f"{says}, expected more than 1.2: does a plain block add something?",
        )
        check.that(
            deep > shallow,
            f"{says}, that of 6 layers {shallow:.2f}; expected the deep net's to be "
            "higher",
        )

    @pytest.mark.timeout(60)
    def test_thirty_eight_residual_layers_train(self, kata):
        """The key result: with shortcuts the same depth trains, on the same batches and
        with the same optimizer.
        """
        loss = final_loss(kata, 9, True, steps=45, batch=64)
        says = f"the training loss of 38 residual layers is {loss:.2f} after 45 steps"
        check.that(loss < 0.8, f"{says}, expected less than 0.8")


@pytest.mark.stretch
class TestZeroInitResidual:
    def test_every_identity_block_becomes_relu_of_x(self, kata):
        """With bn2.weight = 0 the branch starts as zero, in all blocks. What is left of
        a block is its shortcut.
        """
        model = kata.ResNet(3, width=4)
        kata.zero_init_residual(model)
        for place, block in enumerate(model.blocks):
            if isinstance(block.shortcut, nn.Identity):
                x = images(block.conv1.in_channels)
                check.close(block(x), x.relu(), what=f"the output of blocks[{place}]")
            zeros = torch.zeros(len(block.bn2.weight))
            check.equal(
                block.bn2.weight.detach(), zeros, what=f"blocks[{place}].bn2.weight"
            )

    def test_only_the_weights_of_bn2_change(self, kata):
        """bn2 is the last layer of the branch, so its zeros are enough. Zeros in bn1 or
        in a convolution as well would keep gradients from all weights before them.
        """
        model = kata.ResNet(2, width=4)
        before = {name: value.clone() for name, value in model.state_dict().items()}
        kata.zero_init_residual(model)
        got = {
            name: value
            for name, value in model.state_dict().items()
            if not name.endswith("bn2.weight")
        }
        too = {
            name: 0 * value
            for name, value in got.items()
            if name.endswith("bn1.weight")
        }
        unlike = {"the weights of bn1, too": too}
        check.equal(
            got, {name: before[name] for name in got}, unlike=unlike, what="state"
        )

    def test_the_weights_can_still_be_learned(self, kata):
        """The zeros are a start, and no more. They require a gradient, and it
        reaches them.
        """
        model = kata.ResNet(1, width=4)
        kata.zero_init_residual(model)
        for place, block in enumerate(model.blocks):
            weight = block.bn2.weight
            check.that(
                isinstance(weight, nn.Parameter) and weight.requires_grad,
                f"blocks[{place}].bn2.weight has requires_grad = False, or is no "
                "nn.Parameter",
            )
        model(torch.randn(B, 1, 8, 8)).sum().backward()
        check.that(
            model.blocks[0].bn2.weight.grad is not None,
            "no gradient reaches blocks[0].bn2.weight",
        )

    @pytest.mark.edge
    def test_the_parameters_are_the_same_objects(self, kata):
        """An optimizer holds the parameters that it was given. New ones it would
        never move.
        """
        model = kata.ResNet(1, width=4)
        before = list(model.parameters())
        kata.zero_init_residual(model)
        same = all(a is b for a, b in zip(model.parameters(), before, strict=True))
        check.that(same, "a parameter was replaced by another nn.Parameter")
