"use strict";
const value = (cell) => {
  const given = cell.dataset.v;
  return given === undefined ? cell.textContent.toLowerCase() : Number(given);
};
const pairs = (body) => {
  const rows = [];
  for (const row of body.rows) {
    if (row.classList.contains("why")) rows[rows.length - 1].push(row);
    else rows.push([row]);
  }
  return rows;
};
for (const table of document.querySelectorAll("table[data-sort]")) {
  const body = table.tBodies[0];
  table.querySelectorAll("thead th").forEach((head, place) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const numbers = head.classList.contains("text") ? 1 : -1;
      const now = head.getAttribute("aria-sort");
      const way = now ? (now === "ascending" ? -1 : 1) : numbers;
      table.querySelectorAll("thead th").forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", way > 0 ? "ascending" : "descending");
      const rows = pairs(body);
      rows.sort((a, b) => {
        const x = value(a[0].cells[place]), y = value(b[0].cells[place]);
        return (x < y ? -1 : x > y ? 1 : 0) * way;
      });
      body.append(...rows.flat());
    });
  });
}
for (const input of document.querySelectorAll("input[data-for]")) {
  const table = document.getElementById(input.dataset.for);
  const count = document.getElementById(input.dataset.for + "-count");
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const rows of pairs(table.tBodies[0])) {
      const text = rows.map((row) => row.textContent).join(" ").toLowerCase();
      const wanted = words.every((word) => text.includes(word));
      rows[0].hidden = !wanted;
      if (rows[1]) rows[1].hidden = !wanted || !rows[0].classList.contains("open");
      shown += wanted ? 1 : 0;
    }
    if (count) count.textContent = shown;
  });
}
const toggle = (row) => {
  const why = row.nextElementSibling;
  why.hidden = !why.hidden;
  row.classList.toggle("open", !why.hidden);
  row.setAttribute("aria-expanded", String(!why.hidden));
};
for (const row of document.querySelectorAll("tr.decision")) {
  row.addEventListener("click", () => toggle(row));
  row.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); toggle(row); }
  });
}
