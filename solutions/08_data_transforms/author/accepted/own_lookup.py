"""Bilinear lookup by hand instead of `grid_sample`; all parameters of a sample from one
vector of random numbers.
"""


def affine(image, angle=0.0, translate=(0.0, 0.0), scale=1.0):
    if not scale > 0:
        raise ValueError("scale")
    H, W = image.shape[-2:]
    theta = math.radians(angle)
    turn = torch.tensor(
        [[math.cos(theta), math.sin(theta)], [-math.sin(theta), math.cos(theta)]],
        dtype=torch.float64,
    )
    back = torch.linalg.inv(turn * scale)
    grid = torch.cartesian_prod(torch.arange(W), torch.arange(H)).double()
    centre = torch.tensor([(W - 1) / 2, (H - 1) / 2], dtype=torch.float64)
    source = (
        grid - centre - torch.tensor(translate, dtype=torch.float64)
    ) @ back.T + centre
    source = source.to(image.device)
    corner = source.floor()
    part = source - corner
    result = 0
    for dx in (0, 1):
        for dy in (0, 1):
            x, y = corner[:, 0].long() + dx, corner[:, 1].long() + dy
            wx = part[:, 0] if dx else 1 - part[:, 0]
            wy = part[:, 1] if dy else 1 - part[:, 1]
            inside = (x >= 0) & (x < W) & (y >= 0) & (y < H)
            values = image[..., y.clamp(0, H - 1), x.clamp(0, W - 1)].double()
            result = result + torch.where(inside, values * wx * wy, 0.0)
    return result.reshape(*image.shape[:-2], W, H).transpose(-1, -2).to(image.dtype)


class RandomAffine:
    def __init__(self, degrees, translate=None, scale=None, generator=None):
        low, high = (
            degrees if isinstance(degrees, (tuple, list)) else (-degrees, degrees)
        )
        a, b = (0, 0) if translate is None else translate
        small, large = (1, 1) if scale is None else scale
        if low > high or min(a, b) < 0 or max(a, b) > 1 or small <= 0 or small > large:
            raise ValueError("limits")
        self.low = torch.tensor([low, -a, -b, small], dtype=torch.float64)
        self.high = torch.tensor([high, a, b, large], dtype=torch.float64)
        self.generator = generator

    def sample(self, height, width):
        numbers = torch.rand(4, generator=self.generator, dtype=torch.float64)
        angle, a, b, scale = (self.low + numbers * (self.high - self.low)).tolist()
        return angle, (a * width, b * height), scale

    def __call__(self, image):
        height, width = image.shape[-2], image.shape[-1]
        angle, shift, scale = self.sample(height, width)
        return affine(image, angle=angle, translate=shift, scale=scale)


class RandomRotation(RandomAffine):
    def __init__(self, degrees, generator=None):
        super().__init__(degrees, generator=generator)
