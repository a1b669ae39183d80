"""Opens the built site in Chromium as readers do: no error, nothing to scroll sideways,
nothing that axe calls serious.

`python -m tests.bench.site_in_browser` after `make site`, with the extra `browser`.
Every page is opened at two widths in both colour schemes. With paths below build/site
as arguments, only these pages. `--pictures DIR` keeps screenshots.
"""

import argparse
import os
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import product
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from grader.course.catalogue import ROOT

SITE = ROOT / "build" / "site"
WIDTHS, SCHEMES = (1200, 400), ("light", "dark")
BAD = ("serious", "critical")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
]
BROWSERS = ("/usr/bin/google-chrome", "/usr/bin/chromium")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pages", nargs="*")
    parser.add_argument("--pictures", type=Path)
    chosen = parser.parse_args()
    pages = chosen.pages or sorted(
        path.relative_to(SITE).as_posix() for path in SITE.rglob("*.html")
    )
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=SITE))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found = 0
    with sync_playwright() as playwright:
        program = next(
            path
            for path in (os.environ.get("CHROME", ""), *BROWSERS)
            if Path(path).is_file()
        )
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        for width, scheme in product(WIDTHS, SCHEMES):
            for finding in look(
                browser,
                f"http://127.0.0.1:{server.server_port}",
                pages,
                width,
                scheme,
                chosen.pictures,
            ):
                found += 1
                print(f"{width} {scheme} {finding}", flush=True)
    print(
        f"{len(pages)} pages, {len(WIDTHS)} widths, {len(SCHEMES)} schemes: {found} "
        "findings"
    )
    return min(found, 1)


def look(
    browser: Browser,
    host: str,
    pages: list[str],
    width: int,
    scheme: str,
    pictures: Path | None,
) -> Iterator[str]:
    """Open each page, and yield a line for everything that is wrong."""
    tab = browser.new_page(
        viewport={"width": width, "height": 900}, color_scheme=scheme
    )
    said: list[str] = []
    tab.on(
        "console",
        lambda message: said.append(message.text) if message.type == "error" else None,
    )
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on(
        "request",
        lambda request: (
            said.append(f"asks {request.url}")
            if not request.url.startswith(host)
            else None
        ),
    )
    for page in pages:
        said.clear()
        tab.goto(f"{host}/{page}", wait_until="load")
        if pictures:
            pictures.mkdir(parents=True, exist_ok=True)
            tab.screenshot(
                path=pictures
                / f"{page.removesuffix('.html').replace('/', '_')}-{width}-{scheme}.png"
            )
        yield from (f"{page}: {one}" for one in [*said, *findings(tab, width)])
    tab.close()


def findings(tab: Page, width: int) -> Iterator[str]:
    wide = tab.evaluate("document.documentElement.scrollWidth")
    if wide > width:
        yield f"is {wide} pixels wide"
    for one in Axe().run(tab).response["violations"]:
        if one["impact"] in BAD:
            places = [node["target"][0] for node in one["nodes"]]
            yield f"{one['impact']}: {one['help']}: {places[0]}" + (
                f" and {len(places) - 1} more" if places[1:] else ""
            )


if __name__ == "__main__":
    sys.exit(main())
