"""Wrong solutions of 07 that its specs must catch."""

from grader.course.mistakes import Equivalent, Mistake

# Lines of the reference that several mistakes change.
READ = """    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(chunk_size):
            digest.update(chunk)
    return digest.hexdigest()
"""
PRESENT = (
    "if destination.exists() and (wanted is None or file_sha256(destination) == "
    "wanted):"
)
SCRATCH = """    with tempfile.TemporaryDirectory(dir=destination.parent) as scratch:
        body = Path(scratch, "body")
        _fetch(url, body, timeout)
        if wanted is not None and (digest := file_sha256(body)) != wanted:
            raise ValueError(f"{url} has the SHA-256 digest {digest}, not {wanted}")
        body.replace(destination)
    return destination
"""
CHECKS = """        members = tar.getmembers()
        for member in members:
            inside = (destination / member.name).resolve().is_relative_to(home)
            if PurePosixPath(member.name).is_absolute() or not inside:
                raise ValueError(
                    f"{member.name!r} would be written outside of {destination}"
                )
            if not (member.isfile() or member.isdir()):
                raise ValueError(
                    f"{member.name!r} is neither a regular file nor a folder"
                )
"""
EXTRACT = '        tar.extractall(destination, filter="data")\n'
PATHS = (
    "return sorted(destination / member.name for member in members if member.isfile())"
)
TARGETS = 'self.targets = [int(row["label"]) - 1 for row in rows]'
CLASSES = "self.num_classes = len(set(self.targets))"
OPEN = """        with Image.open(self.root / "jpg" / self.files[i]) as file:
            image = file.convert("RGB")
"""
TRANSFORM = """        if self.transform is not None:
            image = self.transform(image)
        return image, self.targets[i]
"""
RELABEL = "self.targets = [self.classes.index(target) for target in self.targets]"
ITEM = """        item, _ = self.dataset[self.indices[i]]
        return item, self.targets[i]
"""

MISTAKES = [
    # file_sha256
    Mistake(
        "the name hashed in place of the contents",
        was=READ,
        now="    return hashlib.sha256(Path(path).name.encode()).hexdigest()\n",
        caught_by="test_the_digest_of_three_bytes",
        says="this is the digest of the file's name",
    ),
    Mistake(
        "begun anew with each chunk",
        was="            digest.update(chunk)\n",
        now="            digest = hashlib.sha256(chunk)\n",
        caught_by="test_the_chunk_size_does_not_matter",
        says="this is the digest of one chunk alone",
    ),
    Mistake(
        "read at once",
        was=READ,
        now="    return hashlib.sha256(Path(path).read_bytes()).hexdigest()\n",
        caught_by="test_a_large_file_is_not_held_in_memory",
        says="8.0 MB were held at once",
    ),
    # download
    Mistake(
        "always downloaded",
        was=f"    {PRESENT}\n        return destination\n",
        now="",
        caught_by="test_a_right_file_is_not_fetched_again",
        says="looks like fetched again, though the file is there and right",
    ),
    Mistake(
        "whatever is there taken for right",
        was=PRESENT,
        now="if destination.exists():",
        caught_by="test_a_wrong_file_is_replaced",
        says="looks like a file that is there taken for right",
    ),
    Mistake(
        "timeout ignored",
        was="urlopen(url, timeout=timeout)",
        now="urlopen(url)",
        caught_by="test_the_timeout_reaches_the_connection",
        says="looks like the timeout is not handed on",
    ),
    Mistake(
        "straight to destination",
        was=SCRATCH,
        now="    urllib.request.urlretrieve(url, destination)\n"
        "    if wanted is not None and file_sha256(destination) != wanted:\n"
        '        raise ValueError(f"{file_sha256(destination)}, not {wanted}")\n'
        "    return destination\n",
        caught_by="test_a_wrong_digest_leaves_everything_as_it_was",
        says="there is a file at destination, where none was before",
        edge=True,
    ),
    Mistake(
        "digests compared with their letter case",
        was="wanted = None if sha256 is None else sha256.lower()",
        now="wanted = sha256",
        caught_by="test_a_digest_may_be_in_upper_case",
        says=(
            "has the SHA-256 digest "
            "e5115d3bfecb24cda054f0dbec1caecd33cee04decedb00bf1f960f552d2992f, not "
            "E5115D3BFECB24CDA"
        ),
        edge=True,
    ),
    # extract_tar
    Mistake(
        "paths compared as text",
        was=CHECKS + EXTRACT,
        now=CHECKS.replace(
            "resolve().is_relative_to(home)",
            "resolve().as_posix().startswith(home.as_posix())",
        )
        + EXTRACT.replace("data", "fully_trusted"),
        caught_by="test_names_that_climb_out_are_refused",
        says="raised nothing expected an error, such as ValueError",
    ),
    Mistake(
        "names as they are in the archive",
        was=PATHS,
        now="return sorted(member.name for member in members if member.isfile())",
        caught_by="test_returns_the_files_sorted",
        says="a list of Paths is wanted",
    ),
    Mistake(
        "paths of folders as well",
        was=PATHS,
        now=PATHS.replace(" if member.isfile()", ""),
        caught_by="test_folders_are_made_but_not_listed",
        says="looks like folders listed with the files",
    ),
    Mistake(
        "the data filter alone",
        was=CHECKS,
        now="        members = tar.getmembers()\n",
        caught_by="test_the_error_names_the_member_and_nothing_is_written",
        says="one member is refused, and yet there is now",
        edge=True,
    ),
    # FlowerDataset
    Mistake(
        "a listing of the folder, with the labels beside it",
        was='self.files = [row["file"] for row in rows]',
        now='self.files = sorted(path.name for path in (self.root / "jpg").iterdir())',
        caught_by="test_the_table_gives_the_files_in_its_order",
        says="looks like a listing of the folder",
    ),
    Mistake(
        "labels as they are",
        was=TARGETS,
        now=TARGETS.replace(" - 1", ""),
        caught_by="test_targets_are_labels_counted_from_zero",
        says="looks like the labels of the table, without - 1",
    ),
    Mistake(
        "the largest target plus 1",
        was=CLASSES,
        now="self.num_classes = max(self.targets, default=-1) + 1",
        caught_by="test_classes_are_counted_not_measured",
        says="looks like the largest target plus 1",
    ),
    Mistake(
        "images opened by __init__",
        was=CLASSES,
        now=CLASSES
        + (
            "\n"
            '        self.images = [Image.open(self.root / "jpg" / name) for name in '
            "self.files]"
        ),
        caught_by="test_no_picture_is_opened",
        says="PIL.UnidentifiedImageError: cannot identify image file",
    ),
    Mistake(
        "not converted",
        was=OPEN,
        now=OPEN.replace('.convert("RGB")', ".copy()"),
        caught_by="test_pictures_of_every_mode_become_rgb",
        says="looks like a picture of mode 'L', not converted",
    ),
    Mistake(
        "transform on the whole sample",
        was=TRANSFORM,
        now="        sample = image, self.targets[i]\n"
        "        return sample if self.transform is None else self.transform(sample)\n",
        caught_by="test_a_transform_gets_the_image_once_per_access",
        says="the transform was given the pair (image, target), not the image alone",
    ),
    Mistake(
        "pixels left for later where the mode is right",
        was=OPEN,
        now='        image = Image.open(self.root / "jpg" / self.files[i])\n'
        '        if image.mode != "RGB":\n            image = image.convert("RGB")\n',
        caught_by="test_an_image_in_hand_no_longer_needs_its_file",
        says="OSError: image file is truncated",
        edge=True,
    ),
    Mistake(
        "str of the transform",
        was="transform={self.transform!r}",
        now="transform={self.transform}",
        caught_by="test_a_transform_shows_its_own_repr",
        says="looks like str(transform)",
    ),
    # ClassSubset
    Mistake(
        "the subset's index used in the data set",
        was=ITEM,
        now="        return self.dataset[i][0], self.targets[i]\n",
        caught_by="test_samples_have_their_own_item_and_the_new_label",
        says="looks like i taken as a position in the whole data set",
    ),
    Mistake(
        "the old label in the sample",
        was=ITEM,
        now="        return self.dataset[self.indices[i]]\n",
        caught_by="test_samples_have_their_own_item_and_the_new_label",
        says="looks like the old labels",
    ),
    Mistake(
        "new labels by the size of the old",
        was=RELABEL,
        now=RELABEL.replace("self.classes.index", "sorted(self.classes).index"),
        caught_by="test_new_labels_are_positions_in_classes",
        says="looks like labels by their size",
    ),
    Mistake(
        "the labels asked of the samples",
        was="""[
            i for i, target in enumerate(dataset.targets) if target in self.classes
        ]""",
        now="[i for i in range(len(dataset.targets)) if dataset[i][1] in self.classes]",
        caught_by="test_no_sample_is_loaded_to_choose",
        says="the positions loaded before the first access",
    ),
    Mistake(
        "the data set relabelled",
        was=RELABEL,
        now=f"""{RELABEL}
            for i, target in zip(self.indices, self.targets):
                dataset.targets[i] = target""",
        caught_by="TestClassSubsetInit::test_the_data_set_is_left_alone",
        says="dataset.targets afterwards",
        edge=True,
    ),
]
TABLE = 'with open(self.root / "labels.csv", newline="", encoding="utf-8") as file:'

EQUIVALENT = [
    Equivalent(
        was="with tempfile.TemporaryDirectory(dir=destination.parent) as scratch:",
        now="with tempfile.TemporaryDirectory() as scratch:",
        reason=(
            "a rename from the system's temporary folder fails only where that is on "
            "another disk"
        ),
    ),
    Equivalent(
        was="members = tar.getmembers()",
        now="members = tar",
        reason=(
            "an archive read to its end gives its members again, also when it is closed"
        ),
    ),
    Equivalent(
        was='tar.extractall(destination, filter="data")',
        now="tar.extractall(destination)",
        reason=(
            "once all members are checked, the filter decides on owners and "
            "permissions alone"
        ),
    ),
    Equivalent(
        was=TABLE,
        now=TABLE.replace(', newline=""', ""),
        reason="it matters only to names with line ends in them",
    ),
    Equivalent(
        was=TABLE,
        now=TABLE.replace(', encoding="utf-8"', ""),
        reason="UTF-8 is the default here; on Windows it is not",
    ),
]
