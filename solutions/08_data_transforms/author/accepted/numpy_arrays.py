"""ToTensor by way of NumPy, Normalize channel by channel; Resize that passes on what
fits; `where` for clamping.
"""


class Resize:
    def __init__(self, size):
        if min(size if isinstance(size, tuple) else (size,)) < 1:
            raise ValueError("size")
        self.size = size

    def __call__(self, image):
        W, H = image.size
        if isinstance(self.size, tuple):
            h, w = self.size
        elif W < H:
            w, h = self.size, int(self.size * H / W)
        else:
            w, h = int(self.size * W / H), self.size
        if (w, h) == (W, H):
            return image
        return image.resize((w, h), resample=Image.BILINEAR)


class CenterCrop:
    def __init__(self, size):
        self.h, self.w = (size, size) if isinstance(size, int) else size
        if self.h <= 0 or self.w <= 0:
            raise ValueError("size")

    def __call__(self, image):
        if image.width < self.w or image.height < self.h:
            raise ValueError("too small")
        left, upper = (image.width - self.w) // 2, (image.height - self.h) // 2
        return image.transform(
            (self.w, self.h),
            Image.Transform.EXTENT,
            (left, upper, left + self.w, upper + self.h),
        )


class ToTensor:
    def __call__(self, image):
        if isinstance(image, Image.Image):
            if image.mode != "L":
                image = image.convert("RGB")
        elif not isinstance(image, np.ndarray) or image.dtype != np.dtype("uint8"):
            raise TypeError("PIL image or uint8 array")
        array = np.atleast_3d(np.asarray(image)).astype(np.float32) / np.float32(255)
        return torch.from_numpy(np.ascontiguousarray(np.transpose(array, (2, 0, 1))))


class Normalize:
    def __init__(self, mean, std):
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError("mean, std")
        self.numbers = list(zip(mean, std))

    def __call__(self, x):
        return self._each(x, lambda plane, mean, std: (plane - mean) / std)

    def inverse(self, x):
        return self._each(x, lambda plane, mean, std: plane * std + mean)

    def _each(self, x, function):
        if not x.dtype.is_floating_point:
            raise TypeError(x.dtype)
        if x.shape[-3] != len(self.numbers):
            raise ValueError(x.shape)
        planes = [
            function(plane, *pair) for plane, pair in zip(x.unbind(-3), self.numbers)
        ]
        return torch.stack(planes, dim=-3)


class AddGaussianNoise:
    def __init__(self, std=0.05, generator=None):
        if not std >= 0:
            raise ValueError(std)
        self.std, self.generator = std, generator

    def __call__(self, x):
        y = (
            x
            + torch.normal(0.0, 1.0, x.shape, generator=self.generator).to(x) * self.std
        )
        return torch.where(
            y < 0, torch.zeros_like(y), torch.where(y > 1, torch.ones_like(y), y)
        )


class RandomHorizontalFlip:
    def __init__(self, p=0.5, generator=None):
        if not (p >= 0 and p <= 1):
            raise ValueError(p)
        self.p, self.generator = p, generator

    def __call__(self, image):
        u = torch.empty(()).uniform_(0, 1, generator=self.generator)
        return (
            torch.fliplr(image.movedim(-1, 1)).movedim(1, -1) if u < self.p else image
        )


def train_transform(size, mean, std, generator=None):
    crop = RandomResizedCrop((size, size), generator=generator)
    flip = RandomHorizontalFlip(0.5, generator=generator)
    turn = RandomRotation((-10.0, 10.0), generator=generator)
    return Compose([ToTensor(), crop, flip, turn, Normalize(list(mean), list(std))])
