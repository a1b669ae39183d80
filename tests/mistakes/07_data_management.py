"""Wrong solutions of 07 that its specs must catch."""

from tests.course.variants import Equivalent, Mistake

# Lines of the reference that several mistakes change.
READ = """    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(chunk_size):
            digest.update(chunk)
    return digest.hexdigest()
"""
SCHEME = 'if urlsplit(url).scheme not in ("http", "https", "file"):'
WANTED = "wanted = None if sha256 is None else sha256.lower()"
PRESENT = "if destination.exists() and (wanted is None or file_sha256(destination) == wanted):"
PARENTS = "    destination.parent.mkdir(parents=True, exist_ok=True)\n"
SCRATCH = """    with tempfile.TemporaryDirectory(dir=destination.parent) as scratch:
        body = Path(scratch, "body")
        _fetch(url, body, timeout)
        if wanted is not None and (digest := file_sha256(body)) != wanted:
            raise ValueError(f"{url} has the SHA-256 digest {digest}, not {wanted}")
        body.replace(destination)
    return destination
"""
COPY = "        shutil.copyfileobj(response, file)\n"
LENGTH = """        length = response.headers["Content-Length"]
        if length is not None and file.tell() < int(length):
            raise OSError(f"{url} ended after {file.tell()} of {length} bytes")
"""
HOME = "home = destination.resolve()"
INSIDE = "inside = (destination / member.name).resolve().is_relative_to(home)"
OUTSIDE = "if PurePosixPath(member.name).is_absolute() or not inside:"
KIND = """            if not (member.isfile() or member.isdir()):
                raise ValueError(f"{member.name!r} is neither a regular file nor a folder")
"""
CHECKS = """        members = tar.getmembers()
        for member in members:
            inside = (destination / member.name).resolve().is_relative_to(home)
            if PurePosixPath(member.name).is_absolute() or not inside:
                raise ValueError(f"{member.name!r} would be written outside of {destination}")
            if not (member.isfile() or member.isdir()):
                raise ValueError(f"{member.name!r} is neither a regular file nor a folder")
"""
EXTRACT = '        tar.extractall(destination, filter="data")\n'
PATHS = "return sorted(destination / member.name for member in members if member.isfile())"
FILES = 'self.files = [row["file"] for row in rows]'
TARGETS = 'self.targets = [int(row["label"]) - 1 for row in rows]'
TOO_SMALL = "if any(target < 0 for target in self.targets):"
CLASSES = "self.num_classes = len(set(self.targets))"
OPEN = """        with Image.open(self.root / "jpg" / self.files[i]) as file:
            image = file.convert("RGB")
"""
TRANSFORM = """        if self.transform is not None:
            image = self.transform(image)
        return image, self.targets[i]
"""
REPR = 'root={str(self.root)!r}, transform={self.transform!r})"'
ONCE = "if not self.classes or len(set(self.classes)) < len(self.classes):"
ABSENT = """        if absent := set(self.classes) - set(dataset.targets):
            raise ValueError(f"there is no sample of {sorted(absent)}")
"""
INDICES = "self.indices = [i for i, target in enumerate(dataset.targets) if target in self.classes]"
KEPT = "self.targets = [dataset.targets[i] for i in self.indices]"
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
    ),
    Mistake(
        "Python's own hash",
        was=READ,
        now="    return f'{hash(Path(path).read_bytes()):x}'\n",
        caught_by="test_the_digest_of_three_bytes",
    ),
    Mistake(
        "another algorithm",
        was="hashlib.sha256()",
        now="hashlib.md5()",
        caught_by="test_the_digest_of_three_bytes",
    ),
    Mistake(
        "upper case",
        was="return digest.hexdigest()",
        now="return digest.hexdigest().upper()",
        caught_by="test_the_digest_of_three_bytes",
    ),
    Mistake(
        "only the first chunk",
        was="        while chunk := file.read(chunk_size):\n            digest.update(chunk)\n",
        now="        digest.update(file.read(chunk_size))\n",
        caught_by="test_without_a_chunk_size",
    ),
    Mistake(
        "only whole chunks",
        was="        while chunk := file.read(chunk_size):\n",
        now="        while len(chunk := file.read(chunk_size)) == chunk_size:\n",
        caught_by="test_the_chunk_size_does_not_matter",
    ),
    Mistake(
        "begun anew with each chunk",
        was="            digest.update(chunk)\n",
        now="            digest = hashlib.sha256(chunk)\n",
        caught_by="test_the_chunk_size_does_not_matter",
    ),
    Mistake(
        "read as text",
        was=READ,
        now='    return hashlib.sha256(Path(path).read_text(errors="replace").encode()).hexdigest()\n',
        caught_by="test_bytes_are_not_text",
    ),
    Mistake(
        "read at once",
        was=READ,
        now="    return hashlib.sha256(Path(path).read_bytes()).hexdigest()\n",
        caught_by="test_a_large_file_is_not_held_in_memory",
    ),
    Mistake(
        "an empty file has no digest",
        was="    return digest.hexdigest()\n",
        now='    return digest.hexdigest() if Path(path).stat().st_size else ""\n',
        caught_by="test_an_empty_file_has_a_digest",
    ),
    Mistake("a Path expected", was='open(path, "rb")', now='path.open("rb")', caught_by="test_a_path_may_be_a_str"),
    # download
    Mistake(
        "always downloaded",
        was=f"    {PRESENT}\n        return destination\n",
        now="",
        caught_by="test_what_is_there_and_right_is_not_fetched",
    ),
    Mistake(
        "fetched again where no digest is given",
        was=PRESENT,
        now="if destination.exists() and wanted is not None and file_sha256(destination) == wanted:",
        caught_by="test_what_is_there_and_right_is_not_fetched",
    ),
    Mistake(
        "whatever is there taken for right",
        was=PRESENT,
        now="if destination.exists():",
        caught_by="test_what_is_there_and_wrong_is_replaced",
    ),
    Mistake(
        "digests compared with their letter case",
        was=WANTED,
        now="wanted = sha256",
        caught_by="test_a_right_digest_is_right_in_any_letter_case",
    ),
    Mistake(
        "the digest of the file that is there compared with its letter case",
        was=PRESENT,
        now=PRESENT.replace("== wanted", "== sha256"),
        caught_by="test_what_is_there_and_right_is_not_fetched",
    ),
    Mistake(
        "straight to destination",
        was=SCRATCH,
        now="    urllib.request.urlretrieve(url, destination)\n"
        "    if wanted is not None and file_sha256(destination) != wanted:\n"
        '        raise ValueError(f"{file_sha256(destination)}, not {wanted}")\n'
        "    return destination\n",
        caught_by="test_a_wrong_digest_leaves_everything_as_it_was",
    ),
    Mistake(
        "renamed from the system's folder for temporary files",
        was="tempfile.TemporaryDirectory(dir=destination.parent)",
        now="tempfile.TemporaryDirectory()",
        caught_by="test_destination_may_be_on_another_disk",
    ),
    Mistake(
        "straight to destination, which is deleted if it is wrong",
        was=SCRATCH,
        now="    try:\n        _fetch(url, destination, timeout)\n"
        "        if wanted is not None and file_sha256(destination) != wanted:\n"
        '            raise ValueError(f"{file_sha256(destination)}, not {wanted}")\n'
        "    except BaseException:\n        destination.unlink(missing_ok=True)\n        raise\n"
        "    return destination\n",
        caught_by="test_a_failed_download_leaves_everything_as_it_was",
    ),
    Mistake(
        "a corrupt file deleted before the new one is there",
        was=PARENTS,
        now=PARENTS + "    destination.unlink(missing_ok=True)\n",
        caught_by="test_a_failed_download_leaves_everything_as_it_was",
    ),
    Mistake(
        "the .part file left behind after an error",
        was=SCRATCH,
        now='    body = destination.with_name(destination.name + ".part")\n'
        "    _fetch(url, body, timeout)\n"
        "    if wanted is not None and (digest := file_sha256(body)) != wanted:\n"
        '        raise ValueError(f"{digest}, not {wanted}")\n'
        "    body.replace(destination)\n    return destination\n",
        caught_by="test_a_wrong_digest_leaves_everything_as_it_was",
    ),
    Mistake(
        "the .part file copied and kept",
        was=SCRATCH,
        now='    body = destination.with_name(destination.name + ".part")\n'
        "    _fetch(url, body, timeout)\n    shutil.copy(body, destination)\n    return destination\n",
        caught_by="test_nothing_else_lies_in_the_folder",
    ),
    Mistake(
        "what came is not checked",
        was="if wanted is not None and (digest := file_sha256(body)) != wanted:",
        now="if (digest := wanted) != wanted:",
        caught_by="test_a_wrong_digest_is_an_error_that_shows_both",
    ),
    Mistake(
        "digests shortened in the error",
        was="digest {digest}, not {wanted}",
        now="digest {digest[:12]}…, not {wanted[:12]}…",
        caught_by="test_a_wrong_digest_is_an_error_that_shows_both",
    ),
    Mistake(
        "only the last folder made",
        was=PARENTS,
        now=PARENTS.replace("parents=True, ", ""),
        caught_by="test_missing_folders_are_made",
    ),
    Mistake(
        "a short body taken for whole",
        was=LENGTH,
        now="",
        caught_by="test_a_short_body_is_an_error_without_a_digest_too",
    ),
    Mistake(
        "IncompleteRead of a short body let through",
        was=COPY + LENGTH,
        now="        file.write(response.read())\n",
        caught_by="test_a_short_body_is_an_error_without_a_digest_too",
    ),
    Mistake(
        "a length wanted of every server",
        was="if length is not None and file.tell()",
        now="if file.tell()",
        caught_by="test_a_server_that_names_no_length_is_believed",
    ),
    Mistake(
        "an empty body taken for a failure",
        was=LENGTH,
        now=LENGTH + "        if not file.tell():\n            raise OSError(url)\n",
        caught_by="test_an_empty_body_is_a_file_too",
    ),
    Mistake(
        "only one block read",
        was=COPY + LENGTH,
        now="        file.write(response.read(1 << 16))\n",
        caught_by="test_a_server_is_asked",
    ),
    Mistake(
        "the page of an HTTP error taken for the file",
        was="with urllib.request.urlopen(url, timeout=timeout) as response, open(path",
        now="from urllib.error import HTTPError\n\n    try:\n"
        "        found = urllib.request.urlopen(url, timeout=timeout)\n"
        "    except HTTPError as error:\n        found = error\n"
        "    with found as response, open(path",
        caught_by="test_a_failed_download_leaves_everything_as_it_was",
    ),
    Mistake(
        "timeout ignored",
        was="urlopen(url, timeout=timeout)",
        now="urlopen(url)",
        caught_by="test_a_silent_server_is_given_up",
    ),
    Mistake(
        "every scheme that urllib knows",
        was=f"    {SCHEME}\n",
        now='    if ":" not in url:\n',
        caught_by="test_other_schemes_are_refused",
    ),
    Mistake(
        "everything that begins with http",
        was=SCHEME,
        now='if not url.startswith(("http", "file")):',
        caught_by="test_other_schemes_are_refused",
    ),
    Mistake(
        "no https",
        was=SCHEME,
        now=SCHEME.replace('"https", ', ""),
        caught_by="test_a_failed_download_leaves_everything_as_it_was",
    ),
    Mistake(
        "no file URLs",
        was=SCHEME,
        now=SCHEME.replace(', "file"', ""),
        caught_by="test_a_file_url_is_copied",
    ),
    Mistake(
        "destination returned as it was given, after a fetch",
        was="        body.replace(destination)\n    return destination\n",
        now="        body.replace(destination)\n    return str(destination)\n",
        caught_by="test_returns_destination_as_a_path",
    ),
    Mistake(
        "nothing returned where nothing was fetched",
        was=f"    {PRESENT}\n        return destination\n",
        now=f"    {PRESENT}\n        return None\n",
        caught_by="test_returns_destination_as_a_path",
    ),
    # extract_tar
    Mistake(
        "no check at all",
        was=CHECKS + EXTRACT,
        now='        members = tar.getmembers()\n        tar.extractall(destination, filter="fully_trusted")\n',
        caught_by="test_names_that_climb_out_are_refused",
    ),
    Mistake(
        "the data filter alone, its error as a ValueError",
        was=CHECKS + EXTRACT,
        now="        members = tar.getmembers()\n        try:\n            tar.extractall(destination, filter='data')\n"
        "        except tarfile.FilterError as error:\n            raise ValueError(error.tarinfo.name) from error\n",
        caught_by="test_names_that_climb_out_are_refused",
    ),
    Mistake(
        "the data filter's own error",
        was=CHECKS,
        now="        members = tar.getmembers()\n        for member in members:\n"
        "            tarfile.data_filter(member, destination)\n",
        caught_by="test_names_that_climb_out_are_refused",
    ),
    Mistake(
        "paths compared as text",
        was=INSIDE,
        now="inside = str((destination / member.name).resolve()).startswith(str(home))",
        caught_by="test_names_that_climb_out_are_refused",
    ),
    Mistake(
        "any two dots refused",
        was=INSIDE,
        now='inside = ".." not in member.name and (destination / member.name).resolve().is_relative_to(home)',
        caught_by="test_dots_in_names_are_harmless",
    ),
    Mistake(
        "links in destination not looked at",
        was=INSIDE,
        now='inside = ".." not in PurePosixPath(member.name).parts',
        caught_by="test_a_link_that_is_there_already_does_not_lead_out",
    ),
    Mistake(
        "only the folder of a file resolved",
        was=INSIDE,
        now="inside = (destination / member.name).parent.resolve().is_relative_to(home)\n"
        "            inside = inside and '..' not in PurePosixPath(member.name).parts\n"
        "            (destination / member.name).unlink() if (destination / member.name).is_symlink() else None",
        caught_by="test_a_link_that_is_there_already_does_not_lead_out",
    ),
    Mistake(
        "destination not resolved",
        was=HOME,
        now="home = destination.absolute()",
        caught_by="test_destination_may_be_a_link",
    ),
    Mistake(
        "a relative destination not resolved",
        was=HOME,
        now="home = destination",
        caught_by="test_paths_may_be_relative_and_str",
    ),
    Mistake(
        "an absolute name that leads inside let through",
        was=OUTSIDE,
        now="if not inside:",
        caught_by="test_absolute_names_are_refused",
    ),
    Mistake(
        "only files checked",
        was="        for member in members:\n",
        now="        for member in members:\n            if member.isdir():\n                continue\n",
        caught_by="test_a_folder_outside_is_refused",
    ),
    Mistake(
        "checked one by one while unpacking",
        was=CHECKS + EXTRACT,
        now=CHECKS + '            tar.extract(member, destination, filter="data")\n',
        caught_by="test_names_that_climb_out_are_refused",
    ),
    Mistake(
        "bad members skipped",
        was='                raise ValueError(f"{member.name!r} would be written outside of {destination}")\n',
        now="                continue\n",
        caught_by="test_names_that_climb_out_are_refused",
    ),
    Mistake(
        "links and devices let through",
        was=KIND,
        now="",
        caught_by="test_only_files_and_folders_are_unpacked",
    ),
    Mistake(
        "only links refused",
        was="if not (member.isfile() or member.isdir()):",
        now="if member.issym() or member.islnk():",
        caught_by="test_only_files_and_folders_are_unpacked",
    ),
    Mistake(
        "the error does not name the member",
        was='f"{member.name!r} would be written outside of {destination}"',
        now='"a member would be written outside of destination"',
        caught_by="test_names_that_climb_out_are_refused",
    ),
    Mistake(
        "the error does not name the link",
        was='f"{member.name!r} is neither a regular file nor a folder"',
        now='"a member is neither a regular file nor a folder"',
        caught_by="test_only_files_and_folders_are_unpacked",
    ),
    Mistake(
        "names as they are in the archive",
        was=PATHS,
        now="return tar.getnames()",
        caught_by="test_returns_the_files_sorted",
    ),
    Mistake(
        "paths of folders as well",
        was=PATHS,
        now=PATHS.replace(" if member.isfile()", ""),
        caught_by="test_returns_the_files_sorted",
    ),
    Mistake(
        "in the order of the archive",
        was=PATHS,
        now=PATHS.replace("sorted(", "list("),
        caught_by="test_returns_the_files_sorted",
    ),
    Mistake(
        "everything that lies in destination listed",
        was=PATHS,
        now='return sorted(path for path in destination.rglob("*") if path.is_file())',
        caught_by="test_existing_files_are_overwritten",
    ),
    Mistake(
        "absolute paths returned",
        was=PATHS,
        now=PATHS.replace("destination / member.name", "home / member.name"),
        caught_by="test_paths_may_be_relative_and_str",
    ),
    Mistake(
        "plain archives only",
        was="tarfile.open(archive)",
        now='tarfile.open(archive, "r:")',
        caught_by="test_compressed_archives_work",
    ),
    Mistake(
        "the kind of compression taken from the name",
        was="tarfile.open(archive)",
        now='tarfile.open(archive, "r:gz" if str(archive).endswith("gz") else "r:bz2" if "bz2" in str(archive) else "r:")',
        caught_by="test_compressed_archives_work",
    ),
    Mistake(
        "folders without files left out",
        was=EXTRACT,
        now="        tar.extractall(destination, [member for member in members if member.isfile()], filter='data')\n",
        caught_by="test_folders_are_made",
    ),
    Mistake(
        "folders made by their members alone",
        was=EXTRACT,
        now="        destination.mkdir(parents=True, exist_ok=True)\n        for member in members:\n"
        "            if member.isdir():\n                (destination / member.name).mkdir(exist_ok=True)\n"
        "            else:\n                (destination / member.name).write_bytes(tar.extractfile(member).read())\n",
        caught_by="test_folders_are_made",
    ),
    Mistake(
        "existing files kept",
        was=EXTRACT,
        now="        new = [member for member in members if not (destination / member.name).exists()]\n"
        '        tar.extractall(destination, new, filter="data")\n',
        caught_by="test_existing_files_are_overwritten",
    ),
    Mistake(
        "destination itself not a member",
        was=INSIDE,
        now=INSIDE + " and (destination / member.name).resolve() != home",
        caught_by="test_a_folder_packed_from_inside",
    ),
    # FlowerDataset
    Mistake(
        "a listing of the folder, with the labels beside it",
        was=FILES,
        now='self.files = sorted(path.name for path in (self.root / "jpg").iterdir())',
        caught_by="test_the_table_gives_the_files_in_its_order",
    ),
    Mistake(
        "labels as they are",
        was=TARGETS,
        now=TARGETS.replace(" - 1", ""),
        caught_by="test_targets_are_labels_counted_from_zero",
    ),
    Mistake(
        "labels numbered anew",
        was=CLASSES,
        now=CLASSES + "\n        self.targets = [sorted(set(self.targets)).index(target) for target in self.targets]",
        caught_by="test_targets_are_labels_counted_from_zero",
    ),
    Mistake(
        "targets as NumPy integers",
        was=CLASSES,
        now=CLASSES + "\n        import numpy\n\n        self.targets = list(numpy.array(self.targets))",
        caught_by="test_targets_are_labels_counted_from_zero",
    ),
    Mistake(
        "the largest target plus 1",
        was=CLASSES,
        now="self.num_classes = max(self.targets, default=-1) + 1",
        caught_by="test_classes_are_counted_not_measured",
    ),
    Mistake(
        "the largest label asked for in an empty table",
        was=CLASSES,
        now=CLASSES + "\n        self.largest = max(self.targets)",
        caught_by="test_a_table_without_rows",
    ),
    Mistake(
        "root as it was given",
        was="self.root = Path(root)",
        now="self.root = root",
        caught_by="TestFlowerDataset::test_the_attributes_that_were_given",
    ),
    Mistake(
        "the table read again at each access",
        was=OPEN,
        now='        with open(self.root / "labels.csv", newline="", encoding="utf-8") as file:\n'
        '            self.files = [row["file"] for row in csv.DictReader(file)]\n' + OPEN,
        caught_by="test_the_table_is_read_once",
    ),
    Mistake(
        "images opened by __init__",
        was=CLASSES,
        now=CLASSES + '\n        self.images = [Image.open(self.root / "jpg" / name) for name in self.files]',
        caught_by="test_no_picture_is_opened_before_it_is_asked_for",
    ),
    Mistake(
        "the folder of images wanted by __init__",
        was=CLASSES,
        now=CLASSES + '\n        if not (self.root / "jpg").is_dir():\n            raise FileNotFoundError(self.root)',
        caught_by="test_the_table_alone_is_enough_to_begin",
    ),
    Mistake(
        "a black image in place of a broken one",
        was=OPEN,
        now="        try:\n"
        '            image = Image.open(self.root / "jpg" / self.files[i]).convert("RGB")\n'
        '        except OSError:\n            image = Image.new("RGB", (5, 4))\n',
        caught_by="test_no_picture_is_opened_before_it_is_asked_for",
    ),
    Mistake(
        "not converted",
        was=OPEN,
        now=OPEN.replace('.convert("RGB")', ".copy()"),
        caught_by="test_pictures_of_every_mode_become_rgb",
    ),
    Mistake(
        "only grey converted",
        was=OPEN,
        now='        image = Image.open(self.root / "jpg" / self.files[i])\n        image.load()\n'
        '        if image.mode == "L":\n            image = image.convert("RGB")\n',
        caught_by="test_pictures_of_every_mode_become_rgb",
    ),
    Mistake(
        "pixels left for later where the mode is right",
        was=OPEN,
        now='        image = Image.open(self.root / "jpg" / self.files[i])\n'
        '        if image.mode != "RGB":\n            image = image.convert("RGB")\n',
        caught_by="test_an_image_in_hand_no_longer_needs_its_file",
    ),
    Mistake(
        "the file of a picture left open",
        was=OPEN,
        now='        self.opened = [*getattr(self, "opened", []), open(self.root / "jpg" / self.files[i], "rb")]\n'
        '        image = Image.open(self.opened[-1]).convert("RGB")\n',
        caught_by="test_no_file_stays_open",
    ),
    Mistake(
        "images kept for the next access",
        was=OPEN,
        now='        self.cache = getattr(self, "cache", {})\n        if int(i) not in self.cache:\n'
        '            self.cache[int(i)] = Image.open(self.root / "jpg" / self.files[i]).convert("RGB")\n'
        "        image = self.cache[int(i)]\n",
        caught_by="test_an_image_in_hand_no_longer_needs_its_file",
    ),
    Mistake(
        "transform on the whole sample",
        was=TRANSFORM,
        now="        sample = image, self.targets[i]\n        return sample if self.transform is None else self.transform(sample)\n",
        caught_by="test_a_transform_gets_the_image_once_an_access",
    ),
    Mistake(
        "transform forgotten",
        was=TRANSFORM,
        now="        return image, self.targets[i]\n",
        caught_by="test_a_transform_gets_the_image_once_an_access",
    ),
    Mistake(
        "transform called twice",
        was=TRANSFORM,
        now="        if self.transform is not None and self.transform(image) is not None:\n"
        "            image = self.transform(image)\n        return image, self.targets[i]\n",
        caught_by="test_a_transform_gets_the_image_once_an_access",
    ),
    Mistake(
        "transform needed",
        was=TRANSFORM,
        now="        return self.transform(image), self.targets[i]\n",
        caught_by="test_a_sample_is_an_image_and_its_target",
    ),
    Mistake(
        "indices that go round",
        was=OPEN,
        now="        i = i % len(self)\n" + OPEN,
        caught_by="TestFlowerDataset::test_outside_is_an_index_error",
    ),
    Mistake(
        "negative indices refused",
        was=OPEN,
        now="        if not 0 <= i < len(self):\n            raise IndexError(i)\n" + OPEN,
        caught_by="TestFlowerDataset::test_indices_are_those_of_a_list",
    ),
    Mistake(
        "only ints taken for an index",
        was=OPEN,
        now="        if not isinstance(i, int):\n            raise TypeError(i)\n" + OPEN,
        caught_by="TestFlowerDataset::test_indices_are_those_of_a_list",
    ),
    Mistake(
        "no torch Dataset",
        was="class FlowerDataset(Dataset):",
        now="class FlowerDataset:",
        caught_by="test_a_loader_makes_batches_of_it",
    ),
    Mistake(
        "root in the repr as a Path",
        was=REPR,
        now=REPR.replace("{str(self.root)!r}", "{self.root!r}"),
        caught_by="test_repr_tells_what_it_is",
    ),
    Mistake(
        "quotes around root by hand",
        was=REPR,
        now=REPR.replace("{str(self.root)!r}", "'{self.root}'"),
        caught_by="test_repr_shows_root_and_transform_by_their_own_repr",
    ),
    Mistake(
        "str of the transform",
        was=REPR,
        now=REPR.replace("{self.transform!r}", "{self.transform}"),
        caught_by="test_repr_shows_root_and_transform_by_their_own_repr",
    ),
    Mistake(
        "__str__ in place of __repr__",
        was="def __repr__(self)",
        now="def __str__(self)",
        caught_by="test_repr_tells_what_it_is",
    ),
    Mistake(
        "label 0 let through",
        was=TOO_SMALL,
        now=TOO_SMALL.replace("target < 0", "target < -1"),
        caught_by="test_labels_begin_at_one",
    ),
    Mistake(
        "a missing table is an empty one",
        was="        with open(self.root",
        now="        if not (self.root / 'labels.csv').exists():\n"
        "            self.files, self.targets, self.num_classes = [], [], 0\n            return\n"
        "        with open(self.root",
        caught_by="test_a_missing_table_is_an_error_at_once",
    ),
    # ClassSubset
    Mistake(
        "the subset's index used in the data set",
        was=ITEM,
        now="        return self.dataset[i][0], self.targets[i]\n",
        caught_by="test_samples_have_their_own_item_and_the_new_label",
    ),
    Mistake(
        "the old label in the sample",
        was=ITEM,
        now="        return self.dataset[self.indices[i]]\n",
        caught_by="test_samples_have_their_own_item_and_the_new_label",
    ),
    Mistake(
        "new labels by the size of the old",
        was=RELABEL,
        now=RELABEL.replace("self.classes.index", "sorted(self.classes).index"),
        caught_by="test_new_labels_are_positions_in_classes",
    ),
    Mistake(
        "classes sorted",
        was="self.classes = list(classes)",
        now="self.classes = sorted(classes)",
        caught_by="TestClassSubset::test_the_attributes_that_were_given",
    ),
    Mistake(
        "classes as they were given",
        was="self.classes = list(classes)",
        now="self.classes = classes",
        caught_by="TestClassSubset::test_the_attributes_that_were_given",
    ),
    Mistake(
        "class by class",
        was=INDICES,
        now="self.indices = [i for c in self.classes for i, target in enumerate(dataset.targets) if target == c]",
        caught_by="test_keeps_the_samples_of_the_classes_in_order",
    ),
    Mistake(
        "the length of the data set",
        was="return len(self.indices)",
        now="return len(self.dataset)",
        caught_by="test_keeps_the_samples_of_the_classes_in_order",
    ),
    Mistake(
        "always relabelled",
        was="        if relabel:\n",
        now="        if True:\n",
        caught_by="test_labels_can_stay_as_they_are",
    ),
    Mistake(
        "not relabelled unless asked",
        was="relabel: bool = True",
        now="relabel: bool = False",
        caught_by="test_new_labels_are_positions_in_classes",
    ),
    Mistake(
        "labels read from the samples",
        was=INDICES,
        now="self.indices = [i for i in range(len(dataset)) if dataset[i][1] in self.classes]",
        caught_by="test_no_sample_is_loaded_to_choose",
    ),
    Mistake(
        "loaded twice an access",
        was="        item, _ = self.dataset[self.indices[i]]\n",
        now="        item, _ = self.dataset[self.indices[i]]\n        item = self.dataset[self.indices[i]][0]\n",
        caught_by="test_an_access_loads_one_sample_once",
    ),
    Mistake(
        "indices of the innermost data set",
        was="        if absent :=",
        now="        while isinstance(self.dataset, ClassSubset):\n            self.dataset = self.dataset.dataset\n"
        "        if absent :=",
        caught_by="test_a_subset_of_a_subset",
    ),
    Mistake(
        "targets of the data set changed",
        was="        if relabel:\n",
        now="        if relabel:\n            for i, target in zip(self.indices, self.targets, strict=True):\n"
        "                dataset.targets[i] = self.classes.index(target)\n",
        caught_by="test_the_data_set_is_left_alone",
    ),
    Mistake(
        "indices that go round",
        was=ITEM,
        now="        i = i % len(self)\n" + ITEM,
        caught_by="TestClassSubset::test_outside_is_an_index_error",
    ),
    Mistake(
        "negative indices refused",
        was=ITEM,
        now="        if not 0 <= i < len(self):\n            raise IndexError(i)\n" + ITEM,
        caught_by="TestClassSubset::test_indices_are_those_of_a_list",
    ),
    Mistake(
        "no torch Dataset",
        was="class ClassSubset(Dataset):",
        now="class ClassSubset:",
        caught_by="TestClassSubset::test_the_attributes_that_were_given",
    ),
    Mistake(
        "no classes allowed",
        was=ONCE,
        now="if len(set(self.classes)) < len(self.classes):",
        caught_by="test_classes_must_make_sense",
    ),
    Mistake("repeats allowed", was=ONCE, now="if not self.classes:", caught_by="test_classes_must_make_sense"),
    Mistake("classes without a sample allowed", was=ABSENT, now="", caught_by="test_classes_must_make_sense"),
]

TABLE = 'with open(self.root / "labels.csv", newline="", encoding="utf-8") as file:'

EQUIVALENT = [
    Equivalent(
        was="def file_sha256(path: Path | str, chunk_size: int = 1 << 20) -> str:",
        now="def file_sha256(path: Path | str, chunk_size: int = 1 << 19) -> str:",
        reason="the digest is the same for every chunk size",
    ),
    Equivalent(
        was="with tempfile.TemporaryDirectory(dir=destination.parent) as scratch:",
        now="with tempfile.TemporaryDirectory() as scratch:",
        reason="a rename from the system's temporary folder fails only where that is on another disk",
    ),
    Equivalent(
        was="members = tar.getmembers()",
        now="members = tar",
        reason="an archive read to its end gives its members again, also when it is closed",
    ),
    Equivalent(
        was='tar.extractall(destination, filter="data")',
        now="tar.extractall(destination)",
        reason="once all members are checked, the filter decides on owners and permissions alone",
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
