"""Paper kata 17 in code: codes with a width, what they cost, samples with gradients,
and images between two images.
"""

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.figure import Figure

from grader.lesson import COLOURS, code, heading, save_figure, shown_code, stretch

kata = code(__file__)
torch.manual_seed(0)
torch.set_num_threads(1)  # with tensors this small, threads only wait for one another

# 2. Recap of the NumPy view
#
# A code is not a point here, but a normal distribution q, and N(0, 1) is called p. The
# KL is the mean of log q − log p under q. For a single number it is an area under a
# curve, so 20,000 thin strips can predict the closed form. A code that is as wide as p
# and in the same place is free. A far one and a narrow one both cost something.
heading("2. Recap of the NumPy view")
z = np.linspace(-12, 12, 20_001)


def bell(mean, std):
    """The density of a normal distribution at every z."""
    return np.exp(-(((z - mean) / std) ** 2) / 2) / (std * np.sqrt(2 * np.pi))


print("    mean   std   by strips   gaussian_kl_numpy")
for mean, std in ((0.0, 1.0), (1.0, 1.0), (0.0, 0.1), (0.0, 2.0), (1.5, 0.1)):
    q = bell(mean, std) + 1e-300  # log 0 would be infinite
    area = (q * np.log(q / bell(0, 1))).sum() * (z[1] - z[0])
    found = stretch(
        kata.gaussian_kl_numpy, np.array([[mean]]), np.log(np.array([[std]]) ** 2)
    )
    print(
        f"   {mean:5.1f} {std:5.1f}   {area:9.4f}   "
        f"{'' if found is None else f'{found[0]:17.4f}'}"
    )

# 3. Data
#
# Each image has one soft blob. 64 pixels, but two numbers are all there is to know: the
# row and the column of its centre. Bright pixels are shown as #.
heading("3. Data")
generator = torch.Generator().manual_seed(0)
images, centres = kata.make_blobs(1000, generator=generator)


def as_rows(image):
    """An image as eight strings of eight characters."""
    shades = (image.view(8, 8) * 4.99).int().tolist()
    return ["".join(" .+*#"[shade] for shade in row) for row in shades]


for rows in zip(*(as_rows(image) for image in images[:3]), strict=True):
    print("   " + "     ".join(f"|{row}|" for row in rows))
for name, points in (
    ("centre", centres),
    ("centre of mass", kata.centre_of_mass(images)),
):
    print(
        "    "
        + "".join(
            f"{row:.2f} {column:.2f}      " for row, column in points[:3].tolist()
        )
        + name
    )

# 4. Model
#
# The code below is the one that runs here. Two latent numbers are enough for blobs, if
# the model finds the right ones: nobody tells it about rows and columns.
heading("4. Model")
torch.manual_seed(0)
network = kata.VAE(64, 64, 2)
print("   reparameterize:")
shown_code(kata.reparameterize)
print("   VAE.forward:")
shown_code(kata.VAE.forward)
logits, mu, logvar = network(images[:5], generator)
print(
    f"   images {tuple(images[:5].shape)} → mu {tuple(mu.shape)}, logvar "
    f"{tuple(logvar.shape)}"
)
print(f"   → sample {tuple(mu.shape)} → logits {tuple(logits.shape)}")
print(f"   {sum(parameter.numel() for parameter in network.parameters())} parameters")

# Two calls should differ in training mode, where a sample is decoded, and agree in
# eval mode.
for mode in (True, False):
    network.train(mode)
    first, second = (network(images[:5])[0] for _ in range(2))
    print(
        f"   training={mode!s:<5}  largest difference of two calls: "
        f"{(first - second).abs().max():.3f}"
    )
network.train()

# 5. Training loop
#
# The loss is written one level lower than you write it: the cross-entropy of a pixel x
# with logit l is log(1 + e^l) − x · l. Logits near 0 mean chances of 1/2, so the first
# loss should be near 64 ln 2 = 44.4 plus a small KL. Here each batch has 64 different
# images; yours draws with replacement.
heading("5. Training loop")
STEPS = 500
optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
for step in range(STEPS):
    batch = images[torch.randperm(len(images), generator=generator)[:64]]
    logits, mu, logvar = network(batch, generator)
    pixels = (F.softplus(logits) - batch * logits).sum(dim=1)
    nats = kata.gaussian_kl(mu, logvar)
    loss = (pixels + nats).mean()
    network.zero_grad()
    loss.backward()
    if step == 0:
        for label, parameter in network.named_parameters():
            norm = parameter.grad.norm().item()
            print(
                f"   gradient of {label:<16} {str(tuple(parameter.shape)):<9} norm "
                f"{norm:.3f}"
            )
        before = network.to_mu.weight[0, 0].item()
    optimizer.step()
    if step == 0:
        print(
            f"   to_mu.weight[0, 0] before and after the first step: {before:.4f} → "
            f"{network.to_mu.weight[0, 0]:.4f}"
        )
        print("   step    loss   reconstruction   kl")
    if step % 100 == 0 or step == STEPS - 1:
        print(
            f"   {step:>4} {loss.item():7.2f} {pixels.mean().item():16.2f} "
            f"{nats.mean().item():4.2f}"
        )

# 6. Evaluation and figure
#
# New blobs, in eval mode. Two levels to compare with: a model that knows each image
# perfectly still pays for pixels that are neither 0 nor 1, and a model that knows
# nothing answers with the mean image. If the two latent numbers hold row and column,
# the centre of mass of each answer should be near that of the image.
heading("6. Evaluation and figure")
network.eval()
fresh, _ = kata.make_blobs(1000, generator=generator)


def pixel_cost(chances):
    """The mean cost of the new blobs in nats, for chances per pixel."""
    return F.binary_cross_entropy(
        chances.expand_as(fresh), fresh, reduction="sum"
    ).item() / len(fresh)


with torch.no_grad():
    logits, mu, logvar = network(fresh)
    _, reconstruction, kl = kata.negative_elbo(logits, fresh, mu, logvar)
    miss = (
        (kata.centre_of_mass(logits.sigmoid()) - kata.centre_of_mass(fresh))
        .norm(dim=1)
        .mean()
    )
print(
    f"   reconstruction {reconstruction:.2f}, of at least {pixel_cost(fresh):.2f};",
    end=" ",
)
print(f"the mean image costs {pixel_cost(images.mean(dim=0)):.2f}")
print(f"   kl {kl:.2f} nats per image; centre of mass off by {miss:.2f} pixels")
print(
    f"   codes: spread of the means {mu.std(dim=0).mean():.2f}, mean width "
    f"{(logvar / 2).exp().mean():.2f}"
)

# The key result: between the codes of two images there is another image. Half-way
# between a blob at (2, 2) and one at (5, 5) there should be one blob in the middle,
# while half of each image makes two faint blobs.
places = torch.arange(8)
corners = [
    torch.exp(
        -((places[:, None] - at) ** 2 + (places - at) ** 2) / (2 * 1.2**2)
    ).flatten()
    for at in (2, 5)
]
line = stretch(kata.interpolate, network, *corners, 7)
mixed = torch.stack(
    [corners[0] + (corners[1] - corners[0]) * share / 6 for share in range(7)]
)
if line is not None:
    moving = ", ".join(f"{total:.1f}" for total in kata.centre_of_mass(line).sum(dim=1))
    print(f"   row + column along the line of codes: {moving}")
    print(
        f"   brightest pixel half-way: codes {line[3].max():.2f}, images "
        f"{mixed[3].max():.2f}"
    )

# What does the KL buy? Two controls, made by `train_vae`. With beta = 30 each nat is
# too expensive, so the codes should say nothing, and each answer should be the mean
# image. With beta = 0 nothing keeps the codes near N(0, I). To see where codes lie,
# decode 1000 draws from N(0, I): if these are the codes of all blobs, the centres
# should be spread as those of the data are, which is 1.15 in each direction before the
# edges cut off some light.
drawn = torch.randn(1000, 2, generator=generator)
spread = kata.centre_of_mass(fresh).std(dim=0).mean()
print(
    "   beta   reconstruction     kl   spread of mu   centres from N(0, I); "
    f"{spread:.2f} in the data"
)
for beta in (0.0, 1.0, 30.0):
    model = network
    if beta != 1:
        torch.manual_seed(0)
        model = kata.VAE(64, 64, 2)
        kata.train_vae(
            model,
            images,
            steps=STEPS,
            beta=beta,
            generator=torch.Generator().manual_seed(0),
        )
        model.eval()
    with torch.no_grad():
        logits, mu, logvar = model(fresh)
        _, cost, nats = kata.negative_elbo(logits, fresh, mu, logvar)
        reached = kata.centre_of_mass(model.decode(drawn).sigmoid()).std(dim=0).mean()
    print(
        f"   {beta:4.0f} {cost:16.2f} {nats:6.2f} {mu.std(dim=0).mean():14.2f} "
        f"{reached:22.2f}"
    )

# The figure: 121 decoded codes from [−2, 2]², each image at the place of its code, and
# the line between two codes on it. On the right, the images along this line, below
# those that mix pixels.
steps = torch.linspace(-2, 2, 11)
with torch.no_grad():
    tiles = network.decode(torch.cartesian_prod(-steps, steps).flip(1)).sigmoid()
    ends = network.encode(torch.stack(corners))[0]
mosaic = tiles.view(11, 11, 8, 8).transpose(1, 2).reshape(88, 88)
figure = Figure(figsize=(6.6, 5.6))
above, below = figure.subplots(2)
above.imshow(mosaic, extent=(-2.2, 2.2, -2.2, 2.2))
for edge in np.arange(-1.8, 2, 0.4):
    above.axvline(edge, color="white", linewidth=0.4)
    above.axhline(edge, color="white", linewidth=0.4)
above.plot(*ends.T, color=COLOURS[1], marker="o", markersize=4)
above.set(
    xlabel="first latent number",
    ylabel="second latent number",
    title="121 codes, decoded: the blob moves",
)
strips = {"images mixed": mixed} | ({} if line is None else {"codes mixed": line})
for height, (name, strip) in enumerate(strips.items()):
    for number, image in enumerate(strip):
        top = 1.5 * (len(strips) - 1 - height)
        below.imshow(
            image.detach().view(8, 8),
            extent=(number + 0.04, number + 0.96, top, top + 0.92),
            vmin=0,
            vmax=1,
        )
    below.text(
        0.04, top + 1.0, name, color=COLOURS[1] if name == "codes mixed" else COLOURS[6]
    )
below.set(
    xlim=(0, 7),
    ylim=(-0.1, 2.9),
    yticks=[],
    xticks=[0.5, 3.5, 6.5],
    xlabel="share of the second image",
)
below.set_xticklabels(["0", "1/2", "1"])
below.spines["left"].set_visible(False)
below.set_title("half-way between two codes: one blob")
save_figure(figure, __file__)

# 7. NumPy against PyTorch
#
# The KL of the new blobs' codes in NumPy and in PyTorch.
heading("7. NumPy against PyTorch")
with torch.no_grad():
    mu, logvar = network.encode(fresh)
    ours = kata.gaussian_kl(mu, logvar).numpy()
theirs = stretch(kata.gaussian_kl_numpy, mu.double().numpy(), logvar.double().numpy())
if theirs is not None:
    print(f"   NumPy:   {theirs[:5].round(4)}")
    print(f"   PyTorch: {ours[:5].round(4)}")
    print(f"   largest difference: {np.abs(theirs - ours).max():.1e}")

# In NumPy the gradient would have to be carried by hand from the pixels through the
# sample into the encoder. Autograd does that for free. One number shows it: a bias of
# to_logvar, moved by hand, against its gradient. A generator of the same seed holds the
# noise fixed, as the reparameterisation does.
exact = network.double().train()
inputs = fresh[:64].double()


def loss_now():
    """The loss of 64 blobs, each time with the same noise."""
    logits, mu, logvar = exact(inputs, torch.Generator().manual_seed(0))
    return kata.negative_elbo(logits, inputs, mu, logvar)[0]


(gradient,) = torch.autograd.grad(loss_now(), exact.to_logvar.bias)
values = []
with torch.no_grad():
    for nudge in (1e-6, -2e-6):
        exact.to_logvar.bias[0] += nudge
        values.append(loss_now().item())
slope = (values[0] - values[1]) / 2e-6
print(
    f"   slope by moving a bias of to_logvar: {slope:.5f}, from autograd: "
    f"{gradient[0].item():.5f}"
)

# Batching replaced the loop over images. `nn.Module` replaced the lists of weights. And
# the noise, an input like any other, turned "the gradient of an expectation" into an
# ordinary gradient.
