"""Writes files from the templates in `templates/`."""

from pathlib import Path
from string import Template

TEMPLATES = Path(__file__).parent / "templates"


def write(path: Path, template: str, **values: str) -> None:
    """Fill in the template's `$names`. A shell script becomes executable and keeps its
    own `$variables`.
    """
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    is_script = text.startswith("#!")
    filled = (
        Template(text).safe_substitute(values)
        if is_script
        else Template(text).substitute(values)
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(filled, encoding="utf-8")
    if is_script:
        path.chmod(0o755)
