"use strict";
// A head sorts its table: the best guess first, then the other way round; empty cells stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const figures = head.dataset.kind === "figure";
      const before = head.getAttribute("aria-sort");
      const up = before ? before === "descending" : !figures;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => {
        const cell = row.cells[column];
        if (!figures) return cell.dataset.key ?? cell.textContent;
        return cell.dataset.key === undefined ? NaN : Number(cell.dataset.key);
      };
      const rows = [...body.rows].map((row) => [key(row), row]);
      rows.sort(([a], [b]) => {
        if (figures) {
          if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
          return up ? a - b : b - a;
        }
        return up ? a.localeCompare(b) : b.localeCompare(a);
      });
      body.append(...rows.map(([, row]) => row));
    });
  });
}
