"""All numbers of a sample in one draw, for all ten tries of a box; noise by `normal_`,
a flip by `bernoulli`.
"""


class RandomHorizontalFlip(RandomHorizontalFlip):
    def __call__(self, image):
        if torch.bernoulli(torch.tensor(float(self.p)), generator=self.generator):
            return image.flip(dims=[image.ndim - 1])
        return image


class AddGaussianNoise(AddGaussianNoise):
    def __call__(self, x):
        noise = (
            torch.empty_like(x).normal_(0.0, self.std, generator=self.generator)
            if self.std
            else torch.zeros_like(x)
        )
        return torch.clip(x + noise, 0.0, 1.0)


class RandomAffine(RandomAffine):
    def sample(self, height, width):
        zoom, down, angle, right = torch.rand(
            4, generator=self.generator, dtype=torch.float64
        ).tolist()
        a, b = self.translate
        low, high = self.degrees
        smallest, largest = self.scale
        shift = ((2 * right - 1) * a * width, (2 * down - 1) * b * height)
        return low + angle * (high - low), shift, smallest + zoom * (largest - smallest)


class RandomResizedCrop(RandomResizedCrop):
    def sample(self, height, width):
        low, high = self.scale
        narrow, wide = math.log(self.ratio[0]), math.log(self.ratio[1])
        tries = torch.rand(
            10, 4, generator=self.generator, dtype=torch.float64
        ).tolist()
        for size, shape, row, column in tries:
            area, ratio = (
                (low + size * (high - low)) * height * width,
                math.exp(narrow + shape * (wide - narrow)),
            )
            h, w = round((area / ratio) ** 0.5), round((area * ratio) ** 0.5)
            if 0 < h <= height and 0 < w <= width:
                return int(row * (height - h + 1)), int(column * (width - w + 1)), h, w
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        h, w = (
            max(1, min(height, round(width / ratio))),
            max(1, min(width, round(height * ratio))),
        )
        return (height - h) // 2, (width - w) // 2, h, w
