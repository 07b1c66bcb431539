"use strict";
// Rows are in the page already; this sorts, filters and unfolds them. Text enters the page as text only.
(() => {
  const table = document.getElementById("files");
  const body = table.tBodies[0];
  const form = document.getElementById("filter");
  const status = document.getElementById("shown");
  const uses = JSON.parse(document.getElementById("uses").textContent);
  const rows = Array.from(body.rows);

  function details(row) {
    return row.nextElementSibling?.classList.contains("details") ? row.nextElementSibling : null;
  }

  function element(name, text) {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  }

  function unfold(row, button) {
    const open = details(row);
    button.setAttribute("aria-expanded", String(!open));
    if (open) {
      open.remove();
      return;
    }
    const list = document.createElement("ul");
    list.setAttribute("aria-label", `Mocks in ${button.textContent}`);
    for (const [line, kind, target, category, evidence, scope, verdict] of uses[row.dataset.index]) {
      const item = element("li", `line ${line}: `);
      item.append(element("code", kind), target ? " → " : "");
      if (target) item.append(element("code", target));
      item.append(` (${category}${evidence ? `: ${evidence}` : ""})`, scope ? ` in ${scope}` : "", ` - ${verdict}`);
      list.append(item);
    }
    const made = document.createElement("tr");
    made.className = "details";
    const cell = made.insertCell();
    cell.colSpan = row.cells.length;
    cell.append(list);
    row.after(made);
  }

  function matches(row, wanted) {
    if (wanted.category && !row.dataset.categories.split(" ").includes(wanted.category)) return false;
    if (wanted.complexity && row.dataset.complexity !== wanted.complexity) return false;
    if (wanted.step && row.dataset.step !== wanted.step) return false;
    if (!wanted.words.length) return true;
    row.searched ??= [row.cells[0].textContent, ...uses[row.dataset.index].flat()].join(" ").toLowerCase();
    return wanted.words.every((word) => row.searched.includes(word));
  }

  function filter() {
    const wanted = {
      words: form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean),
      category: form.elements.category.value,
      complexity: form.elements.complexity.value,
      step: form.elements.step.value,
    };
    let shown = 0;
    for (const row of rows) {
      row.hidden = !matches(row, wanted);
      const below = details(row);
      if (below) below.hidden = row.hidden;
      shown += row.hidden ? 0 : 1;
    }
    status.textContent = `${shown.toLocaleString("en")} of ${rows.length.toLocaleString("en")} files shown`;
  }

  function sort(header) {
    const numeric = header.dataset.sort === "number";
    const before = header.getAttribute("aria-sort");
    const first = numeric ? "descending" : "ascending";
    const direction = before === first ? (numeric ? "ascending" : "descending") : first;
    for (const other of header.parentElement.cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", direction);
    const sign = direction === "ascending" ? 1 : -1;
    const value = (row) => row.cells[header.cellIndex].dataset.value;
    const compare = numeric
      ? (a, b) => Number(value(a)) - Number(value(b))
      : (a, b) => (value(a) < value(b) ? -1 : value(a) > value(b) ? 1 : 0);
    rows.sort((a, b) => sign * compare(a, b) || a.dataset.index - b.dataset.index);
    const parts = rows.flatMap((row) => [row, details(row)].filter(Boolean));
    body.append(...parts);
  }

  for (const header of table.tHead.rows[0].cells) {
    header.querySelector("button").addEventListener("click", () => sort(header));
  }
  body.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) unfold(button.closest("tr"), button);
  });
  form.addEventListener("input", filter);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
})();
