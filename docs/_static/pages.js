// Name the cells of tables that pages.css shows as lists, and let the keyboard reach code and tables that scroll.
addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll(".table-wrapper table")) {
    const names = [...table.querySelectorAll("th")].map(cell => cell.textContent.trim());
    if (names.length < 3) continue;
    for (const cell of table.querySelectorAll("td + td")) cell.dataset.label = names[cell.cellIndex];
  }
});
const markScrolling = () => {
  for (const box of document.querySelectorAll(".highlight pre, .table-wrapper")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    else box.removeAttribute("tabindex");
  }
};
addEventListener("load", markScrolling);
addEventListener("resize", markScrolling);
