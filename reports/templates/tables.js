"use strict";
// The page is complete without this: it turns column heads into buttons that sort their table, gives long tables a field
// that filters their rows, makes figures lead where the name of their row does, and opens what a link inside the page
// leads to.
const LONG = 8;
for (const table of document.querySelectorAll("table.sortable")) {
  if (table.tBodies[0].rows.length <= LONG) continue;
  const label = document.createElement("label");
  const field = document.createElement("input");
  field.type = "search";
  label.className = "filter";
  label.append("Only rows with", field);
  const scroll = table.closest(".scroll");
  scroll.before(label);
  field.setAttribute("aria-label", `Only rows with, in ${scroll.getAttribute("aria-label")}`);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/);
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
}

addEventListener("click", (event) => {
  const figure = event.target.closest("tr.led > [data-value]");
  if (figure && getSelection().isCollapsed) figure.parentElement.querySelector("a.records").dispatchEvent(new MouseEvent("click", event));
});

function open_target() {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const opened = [];
  for (let around = target; (around = around?.closest("details:not([open])")); opened.push(around)) around.open = true;
  if (opened.length) target.scrollIntoView();
}
addEventListener("hashchange", open_target);
open_target();

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].sort((a, b) => compare(a.cells[column], b.cells[column], down ? -1 : 1));
      body.append(...rows);
    });
  });
}

// Numbers by value, names by letter; what has no value stays last either way.
function compare(a, b, sign) {
  const [x, y] = [a, b].map((cell) => cell.dataset.value);
  if (a.tagName === "TH" || a.className === "words") return sign * a.textContent.localeCompare(b.textContent);
  if (x === undefined || y === undefined) return (x === undefined) - (y === undefined);
  const [p, q] = [x, y].map((value) => Number(value.replace("inf", "Infinity")));
  return p === q ? 0 : sign * (p < q ? -1 : 1);
}
