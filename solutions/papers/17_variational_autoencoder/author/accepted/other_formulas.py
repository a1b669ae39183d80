"""The KL from standard deviations, noise in place, log-sigmoids for the pixels, one
code after another.
"""


def gaussian_kl(mu, logvar):
    std = torch.exp(logvar / 2)
    return ((std**2 + mu**2) / 2 - 0.5 - torch.log(std)).sum(1)


def gaussian_kl_numpy(mu, logvar):
    parts = 1 + logvar - np.square(mu) - np.exp(logvar)
    return np.einsum("bz->b", parts) / -2


def reparameterize(mu, logvar, generator=None):
    std = torch.exp(logvar).sqrt()
    return torch.empty_like(std).normal_(generator=generator).mul(std).add(mu)


class VAE(nn.Module):
    def __init__(self, input_size, hidden_size, latent_size):
        super().__init__()
        self.decoder = nn.Sequential(
            nn.Sequential(nn.Linear(latent_size, hidden_size), nn.ReLU()),
            nn.Sequential(nn.Linear(hidden_size, input_size)),
        )
        self.to_logvar = nn.Linear(hidden_size, latent_size)
        self.to_mu = nn.Linear(hidden_size, latent_size)
        self.encoder = nn.Linear(input_size, hidden_size)

    def encode(self, x):
        hidden = F.relu(self.encoder(x))
        return self.to_mu(hidden), self.to_logvar(hidden)

    def decode(self, z):
        return self.decoder(z)

    def forward(self, x, generator=None):
        code = mu, logvar = self.encode(x)
        if not self.training:
            return self.decode(mu), *code
        return self.decode(reparameterize(mu, logvar, generator=generator)), *code


def negative_elbo(logits, x, mu, logvar, beta=1.0):
    costs = -x * F.logsigmoid(logits) - (1 - x) * F.logsigmoid(-logits)
    reconstruction = torch.stack([image.sum() for image in costs]).mean()
    kl = gaussian_kl(mu, logvar).sum() / mu.shape[0]
    return torch.add(reconstruction, kl, alpha=beta), reconstruction, kl


def interpolate(model, start, end, num_points):
    assert num_points >= 2, "a line has two ends"
    with torch.inference_mode():
        first, last = (model.encode(image[None])[0] for image in (start, end))
        shares = [i / (num_points - 1) for i in range(num_points)]
        rows = [model.decode(torch.lerp(first, last, share)) for share in shares]
        return torch.cat(rows).sigmoid()
