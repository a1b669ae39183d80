"""The folder by os.walk and os.scandir, bytes by torchless PIL calls; PyTorch's StepLR;
the generator's state saved by hand.
"""

import os


class ImageFolderDataset(Dataset):
    KINDS = {".png", ".jpg", ".jpeg", ".bmp"}

    def __init__(self, root, transform=None):
        root = os.fspath(root)
        if not os.path.isdir(root):
            raise FileNotFoundError(root)
        with os.scandir(root) as entries:
            self.classes = sorted(e.name for e in entries if e.is_dir())
        if not self.classes:
            raise FileNotFoundError(f"no classes in {root}")
        self.class_to_idx = dict(zip(self.classes, range(len(self.classes))))
        self.samples, self.transform = [], transform
        for c in self.classes:
            before = len(self.samples)
            for folder, _, files in sorted(os.walk(os.path.join(root, c))):
                for name in sorted(files):
                    if os.path.splitext(name)[1].lower() in self.KINDS:
                        self.samples.append(
                            (os.path.join(folder, name), self.class_to_idx[c])
                        )
            if len(self.samples) == before:
                raise FileNotFoundError(f"class {c} is empty")

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, i):
        path, label = self.samples[i]
        image = Image.open(path).convert("RGB")
        flat = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
        tensor = (
            flat.view(image.height, image.width, 3)
            .movedim(-1, 0)
            .contiguous()
            .float()
            .div(255)
        )
        if self.transform:
            tensor = self.transform(tensor)
        return tensor, label


@torch.inference_mode()
def evaluate_binary(model, loader, threshold=0.5):
    before = [(m, m.training) for m in model.modules()]
    try:
        model.train(False)
        logits, labels = [], []
        for x, y in loader:
            logits.append(model(x))
            labels.append(y.float())
        if not logits:
            raise ValueError("nothing to evaluate")
        logits, labels = torch.cat(logits), torch.cat(labels)
        positive = logits.sigmoid() >= threshold
        return {
            "accuracy": (positive == labels.bool()).float().mean().item(),
            "loss": nn.BCEWithLogitsLoss()(logits, labels).item(),
        }
    finally:
        for m, flag in before:
            m.training = flag


def train_classifier(
    model, train_loader, val_loader, *, epochs, lr=1e-3, lr_step_size=None, lr_gamma=0.1
):
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    schedule = torch.optim.lr_scheduler.StepLR(
        optimizer, lr_step_size or 10**9, lr_gamma
    )
    lines = []
    for _ in range(epochs):
        model.train()
        losses, sizes = [], []
        for x, y in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(x), y.float())
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            sizes.append(x.shape[0])
        line = {"lr": schedule.get_last_lr()[0]}
        schedule.step()
        line["train_loss"] = sum(a * b for a, b in zip(losses, sizes)) / sum(sizes)
        line |= {
            f"val_{name}": value
            for name, value in evaluate_binary(model, val_loader).items()
        }
        lines.append(line)
    return lines


def compare_batch_norm(
    train_loader, val_loader, *, epochs, lr=1e-3, seed=0, **model_kwargs
):
    state = torch.get_rng_state()
    try:
        torch.manual_seed(seed)
        plain = train_classifier(
            BinaryCNN(batch_norm=False, **model_kwargs),
            train_loader,
            val_loader,
            epochs=epochs,
            lr=lr,
        )
        torch.manual_seed(seed)
        normed = train_classifier(
            BinaryCNN(batch_norm=True, **model_kwargs),
            train_loader,
            val_loader,
            epochs=epochs,
            lr=lr,
        )
    finally:
        torch.set_rng_state(state)
    return dict(plain=plain, batch_norm=normed)
