"""The KL with expm1, noise by torch.normal, softplus for the pixels, batches by
multinomial, gradients by autograd.grad.
"""


def gaussian_kl(mu, logvar):
    return torch.einsum("bz->b", torch.expm1(logvar) - logvar + mu * mu) / 2


def gaussian_kl_numpy(mu, logvar):
    return np.array(
        [
            sum((m * m + np.exp(v) - v - 1) / 2 for m, v in zip(*row))
            for row in zip(mu, logvar)
        ]
    )


def reparameterize(mu, logvar, generator=None):
    unit = torch.zeros_like(mu), torch.ones_like(mu)
    noise = torch.normal(unit[0].detach(), unit[1].detach(), generator=generator)
    return torch.addcmul(mu, noise, (logvar / 2).exp())


def negative_elbo(logits, x, mu, logvar, beta=1.0):
    costs = F.softplus(logits) - x * logits
    reconstruction = costs.reshape(len(x), -1).sum(1).mean()
    kl = torch.mean(gaussian_kl(mu, logvar))
    return beta * kl + reconstruction, reconstruction, kl


def train_vae(
    model, images, *, steps, batch_size=64, lr=3e-3, beta=1.0, generator=None
):
    model.train()
    parameters = list(model.parameters())
    optimizer = torch.optim.Adam(parameters, lr)
    losses, reconstructions, kls = [], [], []
    weights = torch.ones(len(images))
    for _ in range(steps):
        rows = weights.multinomial(batch_size, replacement=True, generator=generator)
        batch = images.index_select(0, rows)
        loss, reconstruction, kl = negative_elbo(
            *shuffled(model(batch, generator=generator), batch), beta=beta
        )
        for parameter, gradient in zip(
            parameters, torch.autograd.grad(loss, parameters)
        ):
            parameter.grad = gradient
        optimizer.step()
        losses.append(float(loss))
        reconstructions.append(float(reconstruction))
        kls.append(float(kl))
    return dict(kl=kls, reconstruction=reconstructions, loss=losses)


def shuffled(result, batch):
    logits, mu, logvar = result
    return logits, batch, mu, logvar


@torch.no_grad()
def interpolate(model, start, end, num_points):
    if num_points < 2:
        raise ValueError("two ends, so two points at least")
    first, last = model.encode(torch.vstack([start, end]))[0]
    steps = torch.arange(num_points)[:, None] / (num_points - 1)
    codes = torch.lerp(
        first.expand(num_points, -1),
        last.expand(num_points, -1),
        steps.expand(-1, len(first)),
    )
    return torch.sigmoid(model.decode(codes))
