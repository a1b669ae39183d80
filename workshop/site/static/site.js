// On the map, marks what a kata builds on and what builds on it, while it is pointed at or has the focus.
for (const map of document.querySelectorAll(".course-map")) {
  const boxes = new Map([...map.querySelectorAll("a")].map((box) => [box.dataset.kata, box]));
  const mark = (kata, on) => {
    for (const line of map.querySelectorAll(`path[data-from="${kata}"], path[data-to="${kata}"]`)) {
      line.classList.toggle("marked", on);
      boxes.get(line.dataset.from).classList.toggle("marked", on);
      boxes.get(line.dataset.to).classList.toggle("marked", on);
    }
  };
  for (const [kata, box] of boxes) {
    for (const event of ["pointerenter", "focus"]) box.addEventListener(event, () => mark(kata, true));
    for (const event of ["pointerleave", "blur"]) box.addEventListener(event, () => mark(kata, false));
  }
}

// In the list of all pages, brings the one that is read into view.
const list = document.querySelector(".sidebar-scroll");
const here = list?.querySelector("li.current-page");
if (here) list.scrollTop = here.offsetTop - list.clientHeight / 2;

// What scrolls sideways in a box of its own can be scrolled by the keyboard, too.
const reach = () => {
  for (const box of document.querySelectorAll("article .table-wrapper, article .highlight pre, article p:has(> img)")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};
reach();
addEventListener("resize", reach);
