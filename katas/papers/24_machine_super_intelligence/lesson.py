"""Paper kata 24 in code: worlds of repeated bits, their weights, the totals of five
policies, and one that learns.
"""

import functools
import itertools

import numpy as np
import torch
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, save_figure, shown_code, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another
LENGTH, HORIZON = 5, 20
patterns = kata.enumerate_patterns(LENGTH)
lengths = torch.tensor([kata.description_length(pattern) for pattern in patterns])

# 2. Recap of the NumPy view
#
# A pattern of n bits costs 2n bits of description, so it weighs 2^-2n. With a value of
# 1 for every pattern, the weighted sum is the weight of all worlds. The 2^n patterns of
# length n should have 2^-n together, so up to length 3 the sums should be 1/2, 3/4 and
# 7/8. No policy can have more.
heading("2. Recap of the NumPy view")
for longest in (1, 2, 3):
    costs = np.array(
        [2 * len(pattern) for pattern in patterns if len(pattern) <= longest]
    )
    found = stretch(kata.complexity_weighted_sum_numpy, np.ones(len(costs)), costs)
    if found is None:
        break
    print(f"   {len(costs):>2} patterns up to length {longest}: total weight {found}")

# 3. Data
#
# Three worlds, drawn by their weights. Half of all worlds should have a pattern of one
# bit, a quarter one of two, and so on. A pattern such as 11 is in the list beside 1: it
# is the same world at a higher price. Within length 5, half of the weight is for length
# 1, so more than half of the drawn worlds never change.
heading("3. Data")
generator = torch.Generator().manual_seed(6)
for bits in kata.sample_environments(3, LENGTH, HORIZON, generator):
    print("   " + "".join(str(bit) for bit in bits.tolist()))
many = kata.sample_environments(10_000, LENGTH, HORIZON, generator)
constant = (many == many[:, :1]).all(dim=1).float().mean().item()
expected = sum(2.0**-n * 2 / 2**n for n in range(1, LENGTH + 1)) / (1 - 2.0**-LENGTH)
print(f"   worlds that never change: {constant:.3f} of 10000, expected {expected:.3f}")

# 4. Model
#
# Two models of a world are compared. The first one is exact: the mixture of all
# patterns that fit what was seen. In the world 00101 it should be surprised twice: by
# the first 1, and by the second one, since 001 explains four bits, too.
heading("4. Model")
shown_code(kata.mixture_probability)
world = (0, 0, 1, 0, 1)
played = [world[t % 5] for t in range(9)]
chances = [kata.mixture_probability(played[:t], LENGTH) for t in range(9)]
print("   right bit            " + "".join(f"{bit:>7}" for bit in played))
print("   mixture: chance of 1 " + "".join(f"{chance:7.3f}" for chance in chances))

# The second one is learned. It reads the past only, so another bit at step 5 should
# leave logits 0 to 5 alone.
torch.manual_seed(0)
model = stretch(kata.RecurrentPolicy, 32)
bits = torch.tensor([played])
logits = None if model is None else stretch(model.forward, bits)
if logits is not None:
    shown_code(kata.RecurrentPolicy.forward)
    other = bits.clone()
    other[0, 5] = 1 - other[0, 5]
    moved = (model(other) - logits).abs()[0]
    print(f"   bits {tuple(bits.shape)} → logits {tuple(logits.shape)}")
    print(
        f"   with another bit 5, logits 0 to 5 move by {moved[:6].max():.3f}, logit 6 "
        f"by {moved[6]:.3f}"
    )

# 5. Training loop
#
# The expected reward is the probability of the right bit. It is written with tanh here,
# one level lower than you write it: sigmoid(z) = (1 + tanh(z / 2)) / 2, with the sign
# of the logit turned where the right bit is 0. The clipping is written as arithmetic.
# Without any training the reward should be that of a coin, 0.5.
heading("5. Training loop")
STEPS = 120 if logits is not None else 0
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2) if STEPS else None
rewards, norms = [], []
for step in range(STEPS):
    worlds = kata.sample_environments(64, LENGTH, HORIZON, generator)
    reward = ((1 + torch.tanh((2 * worlds - 1) * model(worlds) / 2)) / 2).mean()
    model.zero_grad()
    reward.neg().backward()
    norm = (
        sum(parameter.grad.square().sum() for parameter in model.parameters())
        .sqrt()
        .item()
    )
    for parameter in model.parameters():
        parameter.grad /= max(norm, 1.0)
    rewards.append(reward.item())
    norms.append(norm)
    if step == 0:
        for label, parameter in model.named_parameters():
            size = parameter.grad.norm().item()
            print(
                f"   gradient of {label:<17} {str(tuple(parameter.shape)):<9} norm "
                f"{size:.4f}"
            )
        before = model.output.weight[0, 0].item()
    optimizer.step()
    if step == 0:
        print(
            f"   output.weight[0, 0] before and after the first step: {before:.4f} → "
            f"{model.output.weight[0, 0]:.4f}"
        )

# The reward as it rises, and the norm of the whole gradient, in means over 10 steps.
for start in range(0, STEPS, 20):
    means = [sum(curve[start : start + 10]) / 10 for curve in (rewards, norms)]
    print(
        f"   steps {start:>3} to {start + 9:>3}: reward {means[0]:.3f}, gradient "
        f"{means[1]:.4f}"
    )

# 6. Evaluation and figure
#
# The key result: exact totals over all 62 worlds, for 20 steps. A coin, a constant and
# a specialist for 01101 should all have half of the weight, 0.4844. Repeating the last
# bit does well where nothing changes. No policy has more than the mixture, and 0.9688
# would need to know the world from the start.
heading("6. Evaluation and figure")
specialist_world = (0, 1, 1, 0, 1)


def specialist(history):
    """Act one pattern over and over, whatever comes."""
    return float(specialist_world[len(history) % 5])


policies = {
    "coin": kata.random_policy,
    "always 1": lambda history: 1.0,
    "specialist": specialist,
    "repeat": kata.repeat_policy,
    "mixture": kata.solomonoff_policy(LENGTH),
}


def remembering(policy):
    """The same policy, asked only once per history: many worlds begin alike, and a
    network is slow to ask.
    """
    asked = functools.cache(lambda past: policy(list(past)))
    return lambda history: asked(tuple(history))


if STEPS:
    policies["learned"] = remembering(kata.as_policy(model))
values = {}
for name, policy in policies.items():
    total = kata.universal_intelligence(policy, LENGTH, HORIZON)
    values[name] = [
        kata.environment_value(policy, pattern, HORIZON) for pattern in patterns
    ]
    home = kata.environment_value(policy, specialist_world, HORIZON)
    print(f"   {name:<10} total {total:.4f}, value in the world 01101: {home:.3f}")

# What was learned? In the world 01101 it has 0.38, less than a coin. So look at what it
# does: the probability of acting 1 at each step, in two worlds that begin with 0 and
# one that begins with 1.
if STEPS:
    for text in ("0110101101", "0101010101", "1001001001"):
        acts = [policies["learned"]([int(bit) for bit in text[:t]]) for t in range(10)]
        print(f"   world {text}: chance of 1 " + "".join(f"{act:5.2f}" for act in acts))

# The network has found one rule: act the first bit for ever. That policy, written by
# hand, has a total of 0.8055. Once the network is sure of its act, the slope of the
# sigmoid is nearly 0, and so is the gradient: more steps of reward do not help. A
# control: the same network, trained to *predict* the next bit, with the log probability
# in place of the probability. There a sure mistake is expensive, so the gradient does
# not fade. Its total should be higher.
by_hand = kata.universal_intelligence(
    lambda history: float(history[0]) if history else 0.5, LENGTH, HORIZON
)
print(f"   the first bit for ever, by hand: {by_hand:.4f}")
if STEPS:
    torch.manual_seed(0)
    control = kata.RecurrentPolicy(32)
    optimizer = torch.optim.Adam(control.parameters(), lr=1e-2)
    for _ in range(200):
        worlds = kata.sample_environments(64, LENGTH, HORIZON, generator)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(
            control(worlds), worlds.float()
        )
        control.zero_grad()
        loss.backward()
        optimizer.step()
    predictor = remembering(kata.as_policy(control))
    policies["predicting"] = lambda history: float(predictor(history) > 0.5)
    total = kata.universal_intelligence(policies["predicting"], LENGTH, HORIZON)
    values["predicting"] = [
        kata.environment_value(policies["predicting"], pattern, HORIZON)
        for pattern in patterns
    ]
    print(f"   trained to predict, acting the more probable bit: {total:.4f}")

# AIXI is this mixture plus planning, for worlds that acts change. The smallest family:
# two states, two acts, a table with the next state and the reward, 0 or 1, for each of
# the four pairs. That makes 256 worlds of 8 bits each. An agent sees its rewards only.
# What it believes is the list of worlds that fit, each with the state that it would
# be in.
tables = [
    tuple(zip(states, rewards, strict=True))
    for states in itertools.product((0, 1), repeat=4)
    for rewards in itertools.product((0, 1), repeat=4)
]


@functools.cache
def outcomes(belief, act):
    """The rewards that may follow an act, each with its probability and the belief
    after it.
    """
    found = {}
    for table, state in belief:
        state, reward = tables[table][2 * state + act]
        found.setdefault(reward, []).append((table, state))
    return [
        (len(kept) / len(belief), reward, tuple(kept)) for reward, kept in found.items()
    ]


@functools.cache
def worth(belief, act, depth):
    """The expected reward of an act and of the best acts after it, `depth` steps in
    all (expectimax).
    """
    return sum(
        chance
        * (
            reward
            + (
                max(worth(after, following, depth - 1) for following in (0, 1))
                if depth > 1
                else 0
            )
        )
        for chance, reward, after in outcomes(belief, act)
    )


@functools.cache
def collected(belief, depth, left):
    """The expected reward of a planner of this depth over `left` steps. It tosses a
    coin between equally good acts.
    """
    if left == 0:
        return 0.0
    scores = [worth(belief, act, min(depth, left)) for act in (0, 1)]
    best = [act for act in (0, 1) if scores[act] > max(scores) - 1e-12]
    return sum(
        chance * (reward + collected(after, depth, left - 1)) / len(best)
        for act in best
        for chance, reward, after in outcomes(belief, act)
    )


# Two agents at each depth: one is told the world, the other starts from all 256. Depth
# 2 should be better than depth 1: it gives up a reward now for a better state. Knowing
# the world should be better than learning it.
print("   planning   told the world   not told")
everything = tuple((table, 0) for table in range(256))
told = {}
for depth in (1, 2, 3, 4, HORIZON):
    told[depth] = np.array(
        [collected((one,), depth, HORIZON) / HORIZON for one in everything]
    )
    untold = (
        f"{collected(everything, depth, HORIZON) / HORIZON:.3f}"
        if depth < 5
        else "  (too many plans)"
    )
    print(f"   {depth:>2} deep    {told[depth].mean():.3f}            {untold}")
gains = told[2] - told[1]
print(
    f"   depth 2 is better than depth 1 in {(gains > 1e-9).sum()} of 256 worlds, "
    f"worse in {(gains < -1e-9).sum()}"
)

# The figure: the value of each policy by the description length of the world, as a mean
# over the patterns of that length. In the simplest worlds all but the coin should
# be equal.
figure = Figure(figsize=(6.6, 3.8))
axes = figure.subplots()
shown = [
    name
    for name in ("mixture", "predicting", "learned", "repeat", "coin")
    if name in values
]
spans = np.arange(1, LENGTH + 1)
for name, colour in zip(shown, COLOURS, strict=False):
    means = [
        np.mean([v for v, p in zip(values[name], patterns, strict=True) if len(p) == n])
        for n in spans
    ]
    axes.plot(2 * spans, means, "o-", color=colour)
    place = {"repeat": "bottom", "coin": "top"}.get(name, "center")
    total = kata.complexity_weighted_sum(torch.tensor(values[name]), lengths).item()
    text = {"learned": "learned from reward"}.get(name, name)
    axes.text(10.15, means[-1], f"{text}: total {total:.3f}", color=colour, va=place)
axes.set(
    xlim=(1.8, 13), ylim=(0.4, 1.02), xlabel="description length of the world in bits"
)
axes.set(
    ylabel="value: reward per step",
    title="simple worlds are easy: intelligence shows in the others",
)
axes.set_xticks(2 * spans)
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The total of the mixture, added up in NumPy and in PyTorch.
heading("7. NumPy against PyTorch")
tensor = torch.tensor(values["mixture"], dtype=torch.float64, requires_grad=True)
ours = kata.complexity_weighted_sum(tensor, lengths)
theirs = stretch(
    kata.complexity_weighted_sum_numpy, np.array(values["mixture"]), lengths.numpy()
)
print(f"   PyTorch: {ours.item():.10f}")
if theirs is not None:
    print(f"   NumPy:   {theirs:.10f}")
    print(f"   largest difference: {abs(theirs - ours.item()):.1e}")

# Autograd adds what each value is worth. The gradient of the total in the value of a
# world is the weight of that world: 1/4 for a pattern of one bit, 1/1024 for one of
# five. That is all that the specialist could ever gain at home.
(gradient,) = torch.autograd.grad(ours, tensor)
for pattern in ((0,), (0, 1), specialist_world):
    print(
        f"   world {''.join(map(str, pattern)):<5} gradient "
        f"{gradient[patterns.index(pattern)]:.6f}"
    )

# Batching replaced the loop over worlds in training: 64 worlds are one tensor, and the
# GRU reads all of them at once. Autograd went back through 20 steps of the GRU, for
# which NumPy would need its backward written by hand.
