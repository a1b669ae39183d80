# to_device by a match statement, with an inner function and the methods .cuda() and
# .cpu() for the default.


def to_device(batch, device=None):
    def move(x):
        if device is not None:
            return x.to(torch.device(device))
        if torch.cuda.is_available():
            return x.cuda()
        return x.to(device="mps") if torch.backends.mps.is_available() else x.cpu()

    def walk(part):
        match part:
            case Tensor():
                return move(part)
            case dict():
                return type(part)((key, walk(value)) for key, value in part.items())
            case tuple() if hasattr(part, "_make"):
                return part._make(map(walk, part))
            case list() | tuple():
                return type(part)(map(walk, part))
        return part

    return walk(batch)
