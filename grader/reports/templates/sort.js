// Sorts a table by a column: up, down, as it was; what is no number comes last. Without it there are no buttons.
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
