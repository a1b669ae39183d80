"""Resize by `F.interpolate` and back, crops by slices of arrays, ToTensor from the byte
buffer; noise by `normal_`.
"""

from functools import reduce


class Compose:
    def __init__(self, transforms):
        self.transforms = [*transforms]

    def __call__(self, x):
        return reduce(lambda value, transform: transform(value), self.transforms, x)

    def steps(self, x):
        pairs = [("input", x)]
        for transform in self.transforms:
            pairs.append((transform.__class__.__name__, transform(pairs[-1][1])))
        return pairs


def _checked(size):
    size = (size, size) if isinstance(size, int) else tuple(size)
    if min(size) < 1:
        raise ValueError(f"{size}")
    return size


class Resize:
    def __init__(self, size):
        _checked(size)
        self.size = size

    def __call__(self, image):
        array = np.array(image)
        height, width = array.shape[:2]
        if not isinstance(self.size, int):
            new = self.size
        elif height <= width:
            new = self.size, self.size * width // height
        else:
            new = self.size * height // width, self.size
        planes = (
            torch.from_numpy(array)
            .reshape(height, width, -1)
            .movedim(2, 0)[None]
            .float()
        )
        planes = F.interpolate(
            planes, size=tuple(new), mode="bilinear", antialias=True
        )[0]
        planes = planes.round().clamp(0, 255).byte().movedim(0, 2).squeeze(2)
        return Image.fromarray(planes.contiguous().numpy())


class CenterCrop:
    def __init__(self, size):
        self.size = _checked(size)

    def __call__(self, image):
        array = np.asarray(image)
        (height, width), (h, w) = array.shape[:2], self.size
        if h > height or w > width:
            raise ValueError("the image is too small")
        top, left = int((height - h) / 2), int((width - w) / 2)
        return Image.fromarray(array[top : top + h, left : left + w].copy())


class ToTensor:
    def __call__(self, image):
        if isinstance(image, Image.Image):
            if image.mode not in ("L", "RGB"):
                image = image.convert("RGB")
            data = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
            data = data.view(image.size[1], image.size[0], len(image.getbands()))
        elif isinstance(image, np.ndarray) and image.dtype == np.uint8:
            data = torch.from_numpy(np.array(image, copy=True, order="C"))
            data = data[:, :, None] if data.dim() == 2 else data
        else:
            raise TypeError(f"cannot convert {type(image)}")
        return data.movedim(2, 0).contiguous().to(torch.float32).mul_(1 / 255)


class Normalize:
    def __init__(self, mean, std):
        self.mean = torch.tensor(mean).reshape(-1, 1, 1)
        self.std = torch.tensor(std).reshape(-1, 1, 1)
        if self.mean.shape != self.std.shape or not bool((self.std > 0).all()):
            raise ValueError("mean and std")

    def check(self, x):
        if not torch.is_floating_point(x):
            raise TypeError("not floating point")
        if x.size(-3) != self.mean.size(0):
            raise ValueError("channels")

    def __call__(self, x):
        self.check(x)
        return x.clone().sub_(self.mean.to(x)).div_(self.std.to(x))

    def inverse(self, x):
        self.check(x)
        return torch.addcmul(self.mean.to(x), x, self.std.to(x))


class AddGaussianNoise:
    def __init__(self, std=0.05, generator=None):
        if std < 0:
            raise ValueError("std < 0")
        self.std = std
        self.generator = generator

    def __call__(self, x):
        noise = torch.empty_like(x).normal_(0, 1, generator=self.generator)
        return torch.clamp(x + noise * self.std, min=0.0, max=1.0)


def augmentation_gallery(image, transform, n):
    if n <= 0:
        raise ValueError("n")
    results = []
    while len(results) < n:
        results.append(transform(image)[None])
    return torch.cat(results, dim=0)


def eval_transform(size, mean, std):
    return Compose(
        (
            Resize(size),
            CenterCrop((size, size)),
            ToTensor(),
            Normalize(tuple(mean), tuple(std)),
        )
    )
