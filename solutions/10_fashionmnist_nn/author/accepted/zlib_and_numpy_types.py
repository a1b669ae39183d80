"""An IDX file unpacked by zlib, its sizes read by NumPy as big-endian numbers; mistakes
sorted with lexsort; clones in a list of pairs; gradients cleared by hand.
"""

import zlib


def read_idx(path):
    raw = open(path, "rb").read()
    if raw.startswith(b"\x1f\x8b"):
        unpacker = zlib.decompressobj(wbits=31)
        raw = unpacker.decompress(raw) + unpacker.flush()
        if not unpacker.eof:
            raise ValueError(f"{Path(path)}: gzip stream truncated")
    if len(raw) < 4 or len(raw) < 4 + 4 * raw[3]:
        raise ValueError(f"{Path(path)}: header truncated")
    if raw[0] or raw[1] or not raw[3]:
        raise ValueError(f"{Path(path)}: bad magic number {raw[:4]!r}")
    if raw[2] != 8:
        raise ValueError(f"{Path(path)}: type {raw[2]:#04x} is not ubyte")
    shape = np.frombuffer(raw, ">u4", count=raw[3], offset=4).astype(int).tolist()
    body = np.frombuffer(raw, np.uint8, offset=4 + 4 * raw[3])
    if body.size != np.prod(shape):
        what = "truncated" if body.size < np.prod(shape) else "too long"
        raise ValueError(
            f"{Path(path)}: payload {what}, expected {np.prod(shape)} bytes, got "
            f"{body.size}"
        )
    return torch.tensor(body.reshape(shape))


def misclassified(model, images, labels, k=None, batch_size=256):
    was, outputs = model.training, []
    model.eval()
    try:
        with torch.inference_mode():
            for batch in torch.split(images, batch_size):
                outputs.append(model(batch).clone())
    finally:
        model.train(was)
    outputs = torch.cat(outputs).clone()
    guess = outputs.argmax(1)
    sure = outputs.gather(1, guess[:, None])[:, 0].exp()
    bad = torch.arange(len(labels))[guess.ne(labels)]
    order = np.lexsort((bad.numpy(), -sure[bad].numpy()))
    bad = bad[torch.from_numpy(order.copy()).long()]
    bad = bad[: len(bad) if k is None else min(k, len(bad))]
    return {
        "index": bad,
        "predicted": guess[bad],
        "target": labels[bad],
        "confidence": sure[bad],
    }


def train_epoch(model, loader, loss_fn, optimizer):
    device = next(model.parameters()).device
    total, n, right = 0.0, 0, 0
    for x, y in loader:
        x, y = x.to(device), y.to(device)
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = None
        model.train()
        out = model(x)
        loss = loss_fn(out, y)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            total, n, right = (
                total + float(loss) * len(x),
                n + len(x),
                right + int((out.argmax(1) == y).sum()),
            )
    if n == 0:
        raise ValueError("nothing to train on")
    model.eval()
    return total / n, right / n
