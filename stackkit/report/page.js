// Tables are sorted by the column whose heading is clicked: first upwards, then downwards.
"use strict";
function valueOf(cell) {
  const text = cell.textContent.trim();
  const number = parseFloat(text.replace(/,/g, ""));
  return { text, number, known: text !== "" && text !== "\u2013" };
}
function sortBy(table, column, down) {
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => ({ row, value: valueOf(row.cells[column]) }));
  const numeric = rows.every(({ value }) => !value.known || /^[-+]?[\d.]/.test(value.text));
  rows.sort((one, other) => {
    const a = one.value, b = other.value;
    if (a.known !== b.known) return a.known ? -1 : 1;  // what is empty comes last, either way
    const order = numeric ? a.number - b.number : a.text.localeCompare(b.text);
    return down ? -order : order;
  });
  for (const { row } of rows) body.append(row);
}
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = Array.from(table.tHead.rows[0].cells);
  heads.forEach((head, column) => {
    const sort = () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      sortBy(table, column, down);
    };
    head.tabIndex = 0;
    head.title = "Sort by this column";
    head.addEventListener("click", sort);
    head.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      sort();
    });
  });
}
// What is folded is printed, too.
const folded = () => Array.from(document.querySelectorAll("details:not([open])"));
let unfolded = [];
addEventListener("beforeprint", () => { unfolded = folded(); for (const part of unfolded) part.open = true; });
addEventListener("afterprint", () => { for (const part of unfolded) part.open = false; });
