"""`affine_grid` with a matrix in normalised coordinates; corners and flips by other
draws; crops, corners aligned.
"""


def affine(image, angle=0.0, translate=(0.0, 0.0), scale=1.0):
    if scale <= 0:
        raise ValueError(scale)
    batch = image[None] if image.dim() == 3 else image
    work = batch.float() if batch.dtype in (torch.float16, torch.bfloat16) else batch
    H, W = batch.shape[2:]
    c, s = math.cos(math.radians(angle)) / scale, math.sin(math.radians(angle)) / scale
    tx, ty = translate
    # pixels → pixels, about the centre
    matrix = torch.tensor(
        [[c, -s, -c * tx + s * ty], [s, c, -s * tx - c * ty]], dtype=work.dtype
    )
    # pixels → normalised on both sides, where half the image is 1
    half = torch.tensor([W / 2, H / 2, 1], dtype=work.dtype)
    matrix = (matrix * half / half[:2, None]).to(work.device)
    grid = F.affine_grid(
        matrix.expand(len(work), 2, 3), list(work.shape), align_corners=False
    )
    result = F.grid_sample(work, grid, padding_mode="zeros", align_corners=False).to(
        batch.dtype
    )
    return result[0] if image.dim() == 3 else result


class RandomRotation:
    def __init__(self, degrees, generator=None):
        self._affine = RandomAffine(degrees, generator=generator)

    def sample(self, height, width):
        angle, _, _ = self._affine.sample(height, width)
        return angle, (0.0, 0.0), 1.0

    def __call__(self, image):
        angle, translate, scale = self.sample(image.size(-2), image.size(-1))
        return affine(image, angle, translate, scale)


class RandomHorizontalFlip:
    def __init__(self, p=0.5, generator=None):
        if p < 0.0 or p > 1.0:
            raise ValueError("p")
        self.p = torch.tensor(float(p))
        self.generator = generator

    def __call__(self, image):
        if torch.bernoulli(self.p, generator=self.generator):
            return image[..., torch.arange(image.shape[-1] - 1, -1, -1)]
        return image.clone()


class RandomResizedCrop:
    def __init__(self, size, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), generator=None):
        self.h, self.w = size if isinstance(size, tuple) else (size, size)
        if min(self.h, self.w) < 1:
            raise ValueError("size")
        if (
            scale[0] <= 0
            or scale[1] > 1
            or scale[0] > scale[1]
            or ratio[0] <= 0
            or ratio[0] > ratio[1]
        ):
            raise ValueError("limits")
        self.scale, self.ratio, self.generator = scale, ratio, generator

    def sample(self, height, width):
        for _ in range(10):
            share = (
                torch.empty(1).uniform_(*self.scale, generator=self.generator).item()
            )
            log_ratio = torch.empty(1).uniform_(
                math.log(self.ratio[0]),
                math.log(self.ratio[1]),
                generator=self.generator,
            )
            side = (share * height * width) ** 0.5
            root = math.exp(0.5 * log_ratio.item())
            w, h = int(side * root + 0.5), int(side / root + 0.5)
            if 0 < w <= width and 0 < h <= height:
                place = int(
                    torch.randint(
                        0,
                        (height - h + 1) * (width - w + 1),
                        (1,),
                        generator=self.generator,
                    )
                )
                return place // (width - w + 1), place % (width - w + 1), h, w
        h, w = height, width
        if width / height < self.ratio[0]:
            h = max(int(round(width / self.ratio[0])), 1)
        elif width / height > self.ratio[1]:
            w = max(int(round(height * self.ratio[1])), 1)
        return (height - h) // 2, (width - w) // 2, h, w

    def __call__(self, image):
        top, left, h, w = self.sample(image.shape[1], image.shape[2])
        box = image.narrow(1, top, h).narrow(2, left, w).unsqueeze(0)
        return F.interpolate(
            box, (self.h, self.w), mode="bilinear", align_corners=True
        ).squeeze(0)
