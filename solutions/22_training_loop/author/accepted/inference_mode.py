"""Evaluation under inference_mode as a decorator, flags in a dict by name; the report
with NumPy.
"""


@torch.inference_mode()
def evaluate(model, loader, loss_fn, *, device="cpu"):
    before = {name: module.training for name, module in model.named_modules()}
    model.train(False)
    counts = np.zeros(3)
    try:
        for x, y in loader:
            x, y = x.to(device), y.to(device)
            scores = model(x)
            best = scores.max(1).indices
            counts += (
                float(loss_fn(scores, y)) * len(y),
                float(best.eq(y).sum()),
                len(y),
            )
        if not counts[2]:
            raise ValueError("no data")
    finally:
        for name, flag in before.items():
            model.get_submodule(name).train(flag)
    return dict(
        accuracy=float(counts[1] / counts[2]), loss=float(counts[0] / counts[2])
    )


def gradient_report(model):
    report = dict()
    for name, p in model.named_parameters():
        if p.requires_grad:
            row = report[name] = dict.fromkeys(("status", "norm", "mean", "std"))
            if p.grad is None:
                row["status"] = "missing"
                continue
            g = p.grad.float().numpy(force=True)
            with np.errstate(all="ignore"):
                row["norm"] = float(np.sqrt((g.astype("float64") ** 2).sum()))
                row["mean"], row["std"] = (
                    float(g.astype("float64").mean()),
                    float(g.astype("float64").std()),
                )
            row["status"] = (
                "nan" if np.isnan(g).any() else "ok" if np.isfinite(g).all() else "inf"
            )
    return report
