"""The lesson of 07 in code: twelve flowers are drawn, packed, downloaded, verified,
unpacked and read as a Dataset.

Run it from anywhere: `python katas/07_data_management/lesson.py`. It needs no network.
With the Oxford flowers in place (`kata data oxford_flowers`) the figure
shows photographs.
"""

import csv
import io
import math
import shutil
import tarfile
import tempfile
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image, ImageDraw

from grader.course import downloads
from grader.lesson import COLOURS, code, heading, save_figure, stretch

kata = code(__file__)
scratch = tempfile.TemporaryDirectory()
work = Path(scratch.name)


def shown(value):
    """A value or an error as text, without the place of the temporary folder."""
    text = (
        f"{type(value).__name__}: {value}"
        if isinstance(value, Exception)
        else str(value)
    )
    return text.replace(str(work), "").replace(str(work.resolve()), "")


def outcome(exercise, *arguments, **options):
    """The result of a stretch exercise, or the error that it raises."""
    try:
        return stretch(exercise, *arguments, **options)
    except (ValueError, OSError) as error:
        return error


def listing(folder):
    return (
        ", ".join(
            sorted(
                path.relative_to(folder).as_posix()
                for path in folder.rglob("*")
                if path.is_file()
            )
        )
        or "nothing"
    )


# 1. A small data set: three kinds of flowers, four pictures of each, numbered in no
#    particular order. The labels 5, 9 and 12 leave gaps, as they do in any part of a
#    larger set. One picture is grey: in a large set, some always are.
KINDS = {
    5: ("daisy", 16, 0.14, (245, 245, 240)),
    9: ("periwinkle", 5, 0.34, (90, 95, 205)),
    12: ("poppy", 4, 0.5, (205, 50, 35)),
}


def flower(petals, width, colour, turn, side=96):
    """A picture of a flower from above, drawn four times as large and reduced."""
    big = 4 * side
    picture = Image.new("RGB", (big, big), (60 + turn % 40, 120 - turn % 30, 70))
    for k in range(petals):
        leaf = Image.new("L", (big, big))
        half = width * big * 0.3
        ImageDraw.Draw(leaf).ellipse(
            (big / 2 - half, big * 0.08, big / 2 + half, big * 0.54), fill=255
        )
        shade = tuple(int(c * (0.86 + 0.14 * math.cos(2.4 * k))) for c in colour)
        picture.paste(shade, mask=leaf.rotate(turn + 360 * k / petals))
    middle, centre = big * 0.11, big / 2
    ImageDraw.Draw(picture).ellipse(
        (centre - middle, centre - middle, centre + middle, centre + middle),
        fill=(235, 190, 40),
    )
    return picture.resize((side, side), Image.Resampling.BOX)


numbers = [7, 2, 11, 5, 9, 1, 12, 4, 8, 3, 10, 6]
made = work / "made"
(made / "jpg").mkdir(parents=True)
with open(made / "labels.csv", "w", newline="", encoding="utf-8") as file:
    table = csv.writer(file)
    table.writerow(("file", "label"))
    for i, number in enumerate(numbers):
        label = (5, 9, 12)[(i + i // 3) % 3]
        _, petals, width, colour = KINDS[label]
        picture = flower(petals, width, colour, turn=31 * number)
        (picture.convert("L") if number == 4 else picture).save(
            made / "jpg" / f"image_{number:02}.png"
        )
        table.writerow((f"image_{number:02}.png", label))
there = work / "there"
there.mkdir()
with tarfile.open(there / "flowers.tgz", "w:gz") as tar:
    tar.add(made, arcname=".")
heading("1. Twelve flowers in an archive")
print("labels.csv ", *(made / "labels.csv").read_text().splitlines()[:4], "…")
print(f"flowers.tgz {(there / 'flowers.tgz').stat().st_size:,} bytes")


# 2. A digest: 64 characters that identify the bytes of a file. Change one letter, and
#    the whole digest changes.
heading("2. Digests")
for text in ("abc", "abd"):
    (work / "text").write_text(text)
    print(f"{text}          {kata.file_sha256(work / 'text')}")
digest = kata.file_sha256(there / "flowers.tgz")
print(f"flowers.tgz  {digest}")
print(
    "read 1000 bytes at a time: the same, "
    f"{kata.file_sha256(there / 'flowers.tgz', 1000) == digest}"
)


# 3. Download. The URL here is a file: URL, so that no network is needed; http and https
#    are used in the same way.
heading("3. Download and verify")
url, here = (there / "flowers.tgz").as_uri(), work / "data" / "flowers.tgz"
came = outcome(kata.download, url, here, sha256=digest)
if not isinstance(came, Path):
    print(f"copied without download{f', which gave {shown(came)}' if came else ''}")
    here.parent.mkdir(exist_ok=True)
    shutil.copy(there / "flowers.tgz", here)
else:
    print(f"downloaded to {shown(came)}")
    (there / "flowers.tgz").rename(there / "moved.tgz")
    again = outcome(kata.download, url, here, sha256=digest)
    print(f"again, with the original gone: {shown(again)}, the URL is not opened")
    here.write_bytes(here.read_bytes()[:1000])
    print("cut off after 1000 bytes and downloaded again, with the original gone:")
    print(f"   {shown(outcome(kata.download, url, here, sha256=digest))}")
    print(
        f"   in the folder: {listing(here.parent)}, {here.stat().st_size:,} bytes, as "
        "it was"
    )
    (there / "moved.tgz").rename(there / "flowers.tgz")
    outcome(kata.download, url, here, sha256=digest)
    print(f"with the original back: {here.stat().st_size:,} bytes")
    print("with a wrong digest:")
    print(f"   {shown(outcome(kata.download, url, here, sha256='0' * 64))}")
    print(
        f"   in the folder: {listing(here.parent)}, digest unchanged: "
        f"{kata.file_sha256(here) == digest}"
    )


# 4. Unpack. An archive decides what its members are called; you decide whether these
#    names are acceptable.
heading("4. Unpack")
root = work / "data" / "flowers"
files = outcome(kata.extract_tar, here, root)
if not isinstance(files, list):
    print(
        f"unpacked without extract_tar{f', which gave {shown(files)}' if files else ''}"
    )
    shutil.unpack_archive(here, root, filter="data")
else:
    print(f"{len(files)} files: {shown(files[0])} … {shown(files[-1])}")
    with tarfile.open(work / "evil.tar", "w") as tar:
        for name in ("harmless.txt", "../fresh-evil/labels.csv"):
            member = tarfile.TarInfo(name)
            member.size = 4
            tar.addfile(member, io.BytesIO(b"evil"))
    fresh, evil = work / "data" / "fresh", work / "data" / "fresh-evil" / "labels.csv"
    print(shown(outcome(kata.extract_tar, work / "evil.tar", fresh)))
    print(f"written: {listing(fresh)}")
    print(
        f"as text, {shown(evil)} begins with {shown(fresh)}: "
        f"{str(evil).startswith(str(fresh))}"
    )
    print(f"compared part by part, it is inside: {evil.is_relative_to(fresh)}")


# 5. The Dataset. The table is read once; a picture is opened when it is asked for.
heading("5. FlowerDataset")
ds = kata.FlowerDataset(root)
print(shown(repr(ds)))
print("table      ", *ds.files[:6], "…")
print(
    "folder     ",
    *sorted(path.name for path in (root / "jpg").iterdir())[:6],
    "…  another order",
)
print("targets    ", ds.targets, " labels - 1, gaps and all")
image, target = ds[0]
print(f"ds[0]       ({image.mode} image {image.size}, {target})")
grey = ds.files.index("image_04.png")
image, target = ds[grey]
with Image.open(root / "jpg" / "image_04.png") as file:
    print(
        f"ds[{grey}]       ({image.mode} image {image.size}, {target}), from a file "
        f"in mode {file.mode}"
    )
small = kata.FlowerDataset(root, transform=lambda image: image.resize((2, 2)).tobytes())
print(f"ds[0] with a transform: {small[0]}")
kept = (root / "jpg" / ds.files[1]).read_bytes()
(root / "jpg" / ds.files[1]).write_bytes(b"no picture")
broken = kata.FlowerDataset(root)
print(
    f"with one broken file: {len(broken)} samples, ds[2] is fine: {broken[2][0].size}"
)
try:
    broken[1]
except OSError as error:
    print(f"   and ds[1] is an OSError: {type(error).__name__}")
(root / "jpg" / ds.files[1]).write_bytes(kept)


# 6. Some classes of the data set. A subset stores positions and labels, no pictures.
heading("6. ClassSubset")
for classes, relabel in (([11, 4], True), ([11, 4], False)):
    sub = kata.ClassSubset(ds, classes, relabel)
    print(f"classes {classes}, relabel={relabel}: {len(sub)} samples")
    print(f"   indices {sub.indices}\n   targets {sub.targets}")
sub = kata.ClassSubset(ds, [11, 4])
print(
    f"sub[2] is ds[{sub.indices[2]}], {ds.files[sub.indices[2]]}: target "
    f"{ds[sub.indices[2]][1]}, new label {sub[2][1]}"
)
again = kata.ClassSubset(sub, [1])
print(
    f"a subset of it, classes [1]: positions {again.indices} of the subset, targets "
    f"{again.targets}"
)


# 7. The figure: twelve samples as the Dataset gives them. With the real set, four
#    photographs of each of three classes.
photographs = downloads.find("oxford_flowers")
heading(
    "7. The figure shows "
    + (
        "photographs of Oxford flowers"
        if photographs
        else "the flowers drawn in step 1"
    )
)
chosen, names = range(len(ds)), {label: name for label, (name, *_) in KINDS.items()}
if photographs:
    ds, names = kata.FlowerDataset(photographs), {}
    print(repr(ds))
    chosen = sorted(
        i for c in (4, 8, 11) for i in kata.ClassSubset(ds, [c]).indices[:4]
    )
else:
    print("(`kata data oxford_flowers` fetches the real ones)")
colours = dict(zip((4, 8, 11), (COLOURS[3], COLOURS[0], COLOURS[1]), strict=True))
figure = Figure(figsize=(6.6, 9))
for axis, i in zip(figure.subplots(4, 3).flat, chosen, strict=True):
    image, target = ds[i]
    label = target + 1
    axis.imshow(image)
    axis.set_title(
        f"ds[{i}] · {names.get(label, f'flower {label}')}",
        color=colours[target],
        fontweight="bold",
    )
    axis.set_xlabel(f"{ds.files[i]}\nlabel {label} → target {target}")
    axis.set(xticks=[], yticks=[])
    for side in ("top", "right", "bottom", "left"):
        axis.spines[side].set(visible=True, color=colours[target], linewidth=2)
save_figure(figure, __file__)
scratch.cleanup()
