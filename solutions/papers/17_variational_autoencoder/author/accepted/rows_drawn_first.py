"""Noise filled in place, the images of all updates drawn before the first, the loss as
a sum over pixels by hand.
"""


def reparameterize(mu, logvar, generator=None):
    noise = torch.empty_like(mu).normal_(generator=generator)
    return mu + torch.sqrt(logvar.exp()) * noise


class VAE(VAE):
    def forward(self, x, generator=None):
        mu, logvar = self.encode(x)
        if not self.training:
            return self.decode(mu), mu, logvar
        return self.decode(reparameterize(mu, logvar, generator=generator)), mu, logvar


def negative_elbo(logits, x, mu, logvar, beta=1.0):
    logits, x = logits.flatten(1), x.flatten(1)
    chances = x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)
    reconstruction, kl = -chances.sum(dim=1).mean(), gaussian_kl(mu, logvar).mean()
    return torch.add(reconstruction, kl, alpha=beta), reconstruction, kl


def train_vae(
    model, images, *, steps, batch_size=64, lr=3e-3, beta=1.0, generator=None
):
    model.train().zero_grad()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    table = []
    for rows in torch.randint(len(images), (steps, batch_size), generator=generator):
        logits, mu, logvar = model(images[rows], generator)
        loss, reconstruction, kl = negative_elbo(logits, images[rows], mu, logvar, beta)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        table.append((loss.item(), reconstruction.item(), kl.item()))
    return {
        name: [row[i] for row in table]
        for i, name in enumerate(("loss", "reconstruction", "kl"))
    }
