# Different: versions read character by character, tuples compared with padding, the
# environment asked for all distributions at once, and the generator kept in a list.


def in_virtualenv(prefix=None, base_prefix=None):
    return not (prefix or sys.prefix) == (base_prefix or sys.base_prefix)


def parse_version(version):
    if not version[:1].isdigit():
        raise ValueError("cannot read " + repr(version))
    numbers = []
    for part in version.split("."):
        digits = "".join(itertools.takewhile(str.isdigit, part))
        if digits:
            numbers.append(int(digits))
        if digits != part:
            break
    while len(numbers) > 1 and not numbers[-1]:
        del numbers[-1]
    return tuple(numbers)


def check_environment(requirements, *, min_python=(3, 10), installed=None):
    if installed is None:
        found = [d for d in importlib.metadata.distributions() if d.metadata["Name"]]
        installed = {d.metadata["Name"].lower(): d.version for d in found}
    report = {
        "python": platform.python_version(),
        "python_ok": sys.version_info[: len(min_python)] >= min_python,
    }
    report["in_virtualenv"] = sys.prefix != sys.base_prefix
    report["versions"] = versions = {name: installed.get(name) for name in requirements}
    report["missing"] = [name for name, version in versions.items() if version is None]
    report["outdated"] = [
        name
        for name, least in requirements.items()
        if least
        and versions[name]
        and parse_version(versions[name]) < parse_version(least)
    ]
    report["ok"] = report["python_ok"] and report["missing"] == report["outdated"] == []
    return report


_current = []


def manual_seed(seed):
    _current[:] = [np.random.Generator(np.random.PCG64(seed))]
    return _current[0]


def get_rng(rng=None):
    if rng is not None:
        return rng
    if not _current:
        manual_seed(0)
    return _current[-1]


import itertools
import platform
