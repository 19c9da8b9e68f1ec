"use strict";
// A column heading sorts its table, numbers from the largest, then the other way round; empty cells
// stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const numeric = head.dataset.kind === "number";
      const before = head.getAttribute("aria-sort");
      const up = before ? before === "descending" : !numeric;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => {
        const cell = row.cells[column];
        if (!numeric) return cell.dataset.key ?? cell.textContent;
        return cell.dataset.key === undefined ? NaN : Number(cell.dataset.key);
      };
      const rows = [...body.rows].map((row) => [key(row), row]);
      rows.sort(([a], [b]) => {
        if (numeric) {
          if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
          return up ? a - b : b - a;
        }
        return up ? a.localeCompare(b) : b.localeCompare(a);
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
}
// A table that is wider than the screen says so.
function tellWidth() {
  for (const box of document.querySelectorAll(".scroll")) {
    box.classList.toggle("wider", box.scrollWidth > box.clientWidth + 1);
  }
}
addEventListener("resize", tellWidth);
// Within <details> a table has no width before it is opened.
document.addEventListener("toggle", tellWidth, true);
tellWidth();
