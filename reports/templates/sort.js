"use strict";
// The page is complete without this: it only turns column heads into buttons that sort their table.
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
