"""The specs that every function that trains must satisfy: a class to inherit, with one
right step to fill in.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from grader.specs import check


def stretched(parameters: list[Tensor], norm: float) -> None:
    """Give all gradients together this norm, also if they are shorter."""
    for gradient in [
        parameter.grad for parameter in parameters if parameter.grad is not None
    ]:
        gradient.mul_(1e6)
    nn.utils.clip_grad_norm_(parameters, norm)


SLIPS: dict[str, Any] = {  # options of `by_hand`
    "gradients that were not cleared": {"clear": False},
    "weights that were never updated": {"lr": 0.0},
    "a new optimizer in every step": {"anew": True},
    "plain SGD": {"optimizer": torch.optim.SGD},
}
SLIPS_IN_CLIPPING: dict[str, Any] = {
    "gradients that were not clipped before the step": {
        "clip": lambda parameters, norm: None
    },
    "each element clipped by itself": {"clip": nn.utils.clip_grad_value_},
    "short gradients scaled, too": {"clip": stretched},
}


def seeded(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Contract:
    """A function trains a model in place, one update per batch, and returns one loss
    per step.
    """

    # makes a small model, which notes per call what it reads in `read`, its mode
    # in `modes`
    model: Callable[[], Any]
    optimizer: Any = torch.optim.Adam
    settings: dict[str, Any] = {}  # of the optimizer, beside the learning rate
    max_norm = 0.0  # to which gradients are clipped; 0: they are not
    # the learning rate asked for here, and the function's default
    lr, default_lr = 0.05, 0.01
    steps = 6  # that are repeated by hand
    results = "losses"  # the word for the numbers that the function returns
    slips: Mapping[str, Any] = {}  # options of `by_hand`, by the name of the slip
    rtol, atol = 1e-3, 1e-4  # of how far weights move

    def train(self, kata: Any, model: Any, **options: Any) -> Any:
        """Call the function with small data. The options are steps, lr
        and generator.
        """
        raise NotImplementedError

    def loss(self, model: Any, batch: Any) -> Tensor:
        """The loss of one right step, written by hand."""
        raise NotImplementedError

    def wrong_losses(self, model: Any, batch: Any) -> Mapping[str, Any]:
        """Known wrong answers for that loss, by name."""
        return {}

    def batches(self, model: Any, steps: int) -> Sequence[Any]:
        """The batch of each step, out of what the model has noted."""
        return list(model.read)

    def test_one_float_per_step(self, kata: Any) -> None:
        """A Python float per step can be printed and plotted. A list of tensors would
        keep every step's graph.
        """
        losses = self.train(kata, self.model(), steps=3, lr=self.lr, generator=seeded())
        plain = isinstance(losses, list) and all(type(loss) is float for loss in losses)
        check.that(
            plain,
            f"{self.results} should be a list of floats, not {check.describe(losses)}",
        )
        unlike = {"appended after the loop, or returned inside it": 1}
        check.equal(len(losses), 3, unlike=unlike, what=f"the number of {self.results}")

    def test_the_first_loss_is_that_of_the_fresh_model(self, kata: Any) -> None:
        """The loss of a step is taken before its update. The first one is that of the
        model as it came.
        """
        model = self.model()
        fresh = copy.deepcopy(model)
        losses = self.train(kata, model, steps=1, lr=self.lr, generator=seeded())
        [batch] = self.read(model, 1)
        model.read.clear()
        with torch.no_grad():
            after = {"the loss after the update": self.loss(model, batch)}
        self.judge_first(losses, fresh, batch, after)

    def test_every_step_is_that_of_the_optimizer(self, kata: Any) -> None:
        """On the same batches, steps by hand move the weights as far and have the same
        losses. Each step uses the gradients of its own batch alone, and the learning
        rate asked for.
        """
        model = self.model()
        fresh = copy.deepcopy(model)
        losses = self.train(
            kata, model, steps=self.steps, lr=self.lr, generator=seeded()
        )
        batches, got = self.read(model, self.steps), moved(model, fresh)
        expected, right = self.by_hand(fresh, batches)
        settings = {"lr": self.lr, **self.settings, "max_norm": self.max_norm}
        shown = ", ".join(
            f"{option} {value}" for option, value in settings.items() if value
        )
        for name in right:
            what = (
                f"how far {name} has moved in {self.steps} steps of "
                f"{self.optimizer.__name__} with {shown}"
            )
            try:
                check.close(
                    got[name], right[name], rtol=self.rtol, atol=self.atol, what=what
                )
            except check.Mismatch:
                # the slips are tried only now, because they take time
                try:
                    self.judge_first(losses[:1], fresh, batches[0], {})
                except check.Mismatch as found:
                    # a wrong loss that has a name says more than where weights went
                    if "looks like" in dict(found.rows):
                        raise
                slips = {
                    **self.slips,
                    "the default learning rate": {"lr": self.default_lr},
                    **SLIPS,
                }
                slips |= SLIPS_IN_CLIPPING if self.max_norm else {}
                unlike = {
                    slip: self.by_hand(fresh, batches, **slips[slip])[1][name]
                    for slip in slips
                }
                check.close(
                    got[name],
                    right[name],
                    rtol=self.rtol,
                    atol=self.atol,
                    unlike=unlike,
                    what=what,
                )
        wrong = {
            "the last step's, once for every step": expected[-1:] * self.steps,
            "the mean of all steps so far": [
                sum(expected[: n + 1]) / (n + 1) for n in range(self.steps)
            ],
        }
        check.close(
            losses,
            expected,
            rtol=1e-3,
            atol=1e-5,
            unlike=wrong,
            what=f"the {self.results}",
        )

    def test_the_generator_alone_draws(self, kata: Any) -> None:
        """With generators of the same seed the same model has the same losses, whatever
        the state of the global one. A generator of another seed draws other batches.
        """
        model, found = self.model(), {}
        for run, seed in enumerate((5, 5, 6)):
            torch.manual_seed(run)
            found[run] = self.train(
                kata, copy.deepcopy(model), steps=3, lr=self.lr, generator=seeded(seed)
            )
        what = f"{self.results} with a second generator of the same seed"
        try:
            check.close(found[1], found[0], rtol=0, atol=1e-3, what=what)
        except check.Mismatch:  # the slip is tried only now, because it takes time
            torch.manual_seed(1)
            again = self.train(
                kata, copy.deepcopy(model), steps=3, lr=self.lr, generator=seeded(5)
            )
            unlike = {
                "something drawn without the generator: torch.manual_seed decides it": (
                    again
                )
            }
            check.close(found[1], found[0], rtol=0, atol=1e-3, unlike=unlike, what=what)
        says = (
            f"a generator of another seed gives the very same {self.results}: it is "
            "not used"
        )
        check.that(found[2] != found[0], says)

    @pytest.mark.edge
    def test_the_mode_is_training_and_stays(self, kata: Any) -> None:
        """A model may come in eval mode, from a measurement. It trains in training
        mode, and is left in it.
        """
        model = self.model().eval()
        self.train(kata, model, steps=2, lr=self.lr, generator=seeded())
        modes = [*model.modes, model.training]
        check.equal(
            modes,
            [True] * len(modes),
            what="model.training, during the steps and afterwards",
        )

    @pytest.mark.edge
    def test_old_gradients_have_no_effect(self, kata: Any) -> None:
        """A gradient left from something else is cleared before the first step, too."""
        model = self.model()
        fresh, clean = copy.deepcopy(model), copy.deepcopy(model)
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, 100.0)
        for one in (model, clean):
            self.train(kata, one, steps=1, lr=self.lr, generator=seeded())
        for name, parameter in model.named_parameters():
            got, right, what = (
                parameter.detach(),
                clean.get_parameter(name).detach(),
                f"{name} after one step",
            )
            try:
                check.close(got, right, what=what)
            except check.Mismatch:  # the slip is tried only now, because it takes time
                far = self.by_hand(fresh, self.read(model, 1), clear=False, old=100.0)[
                    1
                ][name]
                unlike = {
                    "old gradients that were not cleared": fresh.get_parameter(
                        name
                    ).detach()
                    + far
                }
                check.close(got, right, unlike=unlike, what=what)

    def read(self, model: Any, steps: int) -> Sequence[Any]:
        """The batches, as many as there were steps."""
        batches = self.batches(model, steps)
        check.equal(
            len(batches),
            steps,
            what="the number of batches that the model has read, one per step",
        )
        return batches

    def judge_first(
        self, losses: list[float], fresh: Any, batch: Any, also: Mapping[str, Any]
    ) -> None:
        """Check the loss of the first step, by the names of the class's wrong losses
        and slips, and of these.
        """
        with torch.no_grad():
            wrong = {**also, **self.wrong_losses(copy.deepcopy(fresh), batch)}
            right = self.loss(copy.deepcopy(fresh), batch).item()
        unlike = {name: [float(loss)] for name, loss in wrong.items()}
        try:
            check.close(losses, [right], rtol=1e-4, unlike=unlike, what=self.results)
        except check.Mismatch:  # the slips are tried only now, because they take time
            unlike |= {
                slip: self.by_hand(fresh, [batch], **options)[0]
                for slip, options in self.slips.items()
            }
            check.close(losses, [right], rtol=1e-4, unlike=unlike, what=self.results)

    def by_hand(
        self,
        fresh: Any,
        batches: Sequence[Any],
        *,
        lr: float | None = None,
        optimizer: Any = None,
        settings: dict[str, Any] | None = None,
        clear: bool = True,
        anew: bool = False,
        old: float | None = None,
        clip: Callable[..., Any] = nn.utils.clip_grad_norm_,
        max_norm: float | None = None,
        order: Callable[[Sequence[Any]], Sequence[Any]] = list,
        **of_loss: Any,
    ) -> tuple[list[float], dict[str, Tensor]]:
        """The losses of a copy of the model, trained on these batches, and how far its
        weights move.
        """
        model, losses = copy.deepcopy(fresh), []
        settings = (settings or {}) if optimizer else self.settings | (settings or {})

        def made() -> Any:
            return (optimizer or self.optimizer)(
                model.parameters(), lr=self.lr if lr is None else lr, **settings
            )

        updates = made()
        for parameter in model.parameters():
            parameter.grad = None if old is None else torch.full_like(parameter, old)
        for batch in order(batches):
            loss = self.loss(model, batch, **of_loss)
            if anew:
                updates = made()
            if clear:
                updates.zero_grad()
            loss.backward()
            if self.max_norm:
                clip(list(model.parameters()), max_norm or self.max_norm)
            updates.step()
            losses.append(loss.item())
        return losses, moved(model, fresh)


def moved(model: nn.Module, fresh: nn.Module) -> dict[str, Tensor]:
    """How far each weight is from where it was in the fresh model."""
    return {
        name: new.detach() - fresh.get_parameter(name).detach()
        for name, new in model.named_parameters()
    }
