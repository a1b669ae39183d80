"""The pieces of an HTML page: its style, its frame without external files, tables, bars and the script that sorts."""

import base64
import hashlib
from html import escape

STYLE = """
:root{color-scheme:light dark;
 --line:#d0d7de;--soft:#f6f8fa;--dim:#59636e;--good:#1a7f37;--bad:#b42318;--open:#8250df;--ink:#1f2328;--paper:#fff;
 --link:#0969da;--some:#9a6700}
@media(prefers-color-scheme:dark){:root{
 --line:#3d444d;--soft:#151b23;--dim:#9198a1;--good:#3fb950;--bad:#ff7b72;--open:#bc8cff;--ink:#e6edf3;--paper:#0d1117;
 --link:#4493f8;--some:#d29922}}
*{box-sizing:border-box}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);
 margin:0 auto;max-width:1200px;padding:1.5rem 1rem}
h1{font-size:1.5rem;margin:0}
h2{font-size:1.15rem;margin:2rem 0 .5rem;overflow-wrap:anywhere}
p{margin:.25rem 0 1rem;overflow-wrap:anywhere}
.dim{color:var(--dim)}
.notes{white-space:pre-line}
figure{margin:0}
figcaption{color:var(--dim);padding:.3rem 0;font-size:.9rem}
.wide{overflow:auto;max-height:90vh;background-repeat:no-repeat;background-attachment:local,scroll;
 background-image:linear-gradient(to left,var(--paper) 30%,transparent),linear-gradient(to left,var(--dim),transparent);
 background-position:right;background-size:3rem 100%,1rem 100%}
a{color:var(--link)}
table{border-collapse:separate;border-spacing:0;font-size:.9rem}
th,td{border-bottom:1px solid var(--line);padding:.3rem .6rem;text-align:left;vertical-align:top;font-weight:inherit}
thead th{font-weight:bold;box-shadow:inset 0 -1px var(--line);position:sticky;top:0;z-index:1;background:var(--paper)}
thead .corner{z-index:2}
th button{all:unset;cursor:pointer;white-space:nowrap}
th button::after{content:" \\2195";color:var(--dim)}
th[aria-sort=ascending] button::after{content:" \\2191"}
th[aria-sort=descending] button::after{content:" \\2193"}
td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.corner,.who{position:sticky;left:0;background:var(--paper)}
.who{min-width:6rem;max-width:min(14rem,38vw);overflow-wrap:anywhere}
.cell{text-align:center;font-variant-numeric:tabular-nums;min-width:3rem}
.passed{color:var(--good)}
.failed,.error{color:var(--bad)}
.problem{border-left:4px solid var(--bad);padding:.1rem .8rem;margin:1rem 0}
.problem h2{margin:.3rem 0}
small{display:block;color:var(--dim)}
.notstarted,.notgraded{color:var(--dim)}
.unconfirmed{color:var(--open)}
details,.row{border-bottom:1px solid var(--line);padding:.3rem 0}
td details{border:0;padding:0}
td.long{min-width:10rem;overflow-wrap:anywhere}
td.share{min-width:13rem}
td.when{min-width:20rem;overflow-wrap:anywhere}
summary{cursor:pointer;overflow-wrap:anywhere}
:focus-visible{outline:2px solid var(--link)}
pre{color:var(--ink);background:var(--soft);border:1px solid var(--line);border-radius:6px;
 padding:.75rem;white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem}
code{overflow-wrap:anywhere}
.bar{background:var(--soft);border:1px solid var(--line);border-radius:6px;
 height:.8rem;min-width:6rem;overflow:hidden}
.bar i{float:left;border-top:.8rem solid var(--good)}
.bar i+i{border-color:var(--some)}
.chart{display:block;width:100%;max-width:30rem;height:auto;font-size:12px}
.chart text{fill:var(--ink);text-anchor:middle}
.chart rect{fill:var(--link)}
.chart .aside{fill:var(--dim)}
.chart line{stroke:var(--line)}
.shade0{color:#1f2328;background:#f4a582}
.shade1{color:#1f2328;background:#fddbc7}
.shade2{color:#1f2328;background:#f7f7f7}
.shade3{color:#1f2328;background:#d1e5f0}
.shade4{color:#1f2328;background:#92c5de}
@media(max-width:600px){th,td{padding:.3rem .35rem}}
@media print{.wide{overflow:visible;max-height:none}th button::after{content:""}}
"""
# Sorts a table by a column: up, down, as it was; what is no number comes last. Without it there are no buttons.
SCRIPT = """
for (const table of document.querySelectorAll("table.sorts")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0], rows = [...body.rows];
  const value = (row, at) => (row.cells[at].dataset.v ?? row.cells[at].textContent).trim();
  const isNumber = text => text !== "" && !isNaN(text);
  const compare = (a, b, sign) => isNumber(a) != isNumber(b) ? isNumber(b) - isNumber(a)
    : sign * (isNumber(a) ? a - b : a.localeCompare(b));
  heads.forEach((head, at) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.onclick = () => {
      const order = {ascending: "descending", descending: "none"}[head.getAttribute("aria-sort")] ?? "ascending";
      const sign = order == "descending" ? -1 : 1;
      heads.forEach(other => other.removeAttribute("aria-sort"));
      if (order != "none") head.setAttribute("aria-sort", order);
      const sorted = order == "none" ? rows
        : [...rows].sort((a, b) => compare(value(a, at), value(b, at), sign));
      body.append(...sorted);
    };
  });
}
"""


def page(heading: str, body: str, script: str = "") -> str:
    """A whole page. It runs no script but this one, and loads nothing, whatever the body holds."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = "default-src 'none'; style-src 'unsafe-inline'" + (f"; script-src 'sha256-{digest}'" if script else "")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>torch katas: {escape(heading)}</title><style>{STYLE}</style></head>"
        f"<body><main>{body}</main>{f'<script>{script}</script>' if script else ''}</body></html>\n"
    )


def bar(points: float, most: float) -> str:
    """A bar with the share of the points."""
    share = _percent(points, most)
    return f"<div class='bar' role='img' aria-label='{share}'><i style='width:{share}'></i></div>"


def two_bars(first: float, second: float, most: float) -> str:
    """A bar with two shares, beside the text that says them."""
    parts = "".join(f"<i style='width:{_percent(part, most)}'></i>" for part in (first, second))
    return f"<div class='bar' aria-hidden='true'>{parts}</div>"


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole if whole else 0:.0f}%"


def table(name: str, about: str, heads: str, rows: str) -> str:
    """A table that scrolls below its caption, with the keyboard too. The caption stays in sight.

    Args:
        name: for the caption's id.
    """
    grid = f"<table class='sorts' aria-labelledby='{name}'><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    scrolls = f"<div class='wide' role='region' aria-labelledby='{name}' tabindex='0'>{grid}</div>"
    return f"<figure><figcaption id='{name}'>{about}</figcaption>{scrolls}</figure>"


def heads(first: str, *others: str, kind: str = "") -> str:
    """Column heads, of which the first one stays in sight. `kind` is the others' class: "n" above numbers."""
    return f"<th scope='col' class='corner'>{first}</th>" + "".join(head(name, kind) for name in others)


def head(name: str, kind: str = "") -> str:
    """One column head."""
    return f"<th scope='col' class='{kind}'>{name}</th>" if kind else f"<th scope='col'>{name}</th>"
