// Tables: DataTables. Two rows compared: the differences stand in the page, computed when it was built.
"use strict";
(() => {
  const sayScroll = () => {
    for (const note of document.querySelectorAll(".scrolls")) {
      const box = note.nextElementSibling;
      note.hidden = !box || !box.clientWidth || box.scrollWidth <= box.clientWidth + 1;
    }
  };
  const sortable = (table) => {
    if (table.dataset.started) return;
    table.dataset.started = "yes";
    const rows = table.tBodies[0].rows.length;
    new DataTable(table, { order: [], paging: false, info: rows > 4, searching: rows > 4, autoWidth: false,
      language: { search: "Filter rows:", info: "_TOTAL_ rows", infoEmpty: "no row", infoFiltered: "of _MAX_" } });
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const details = table.closest("details");
    if (details) details.addEventListener("toggle", () => { sortable(table); sayScroll(); });
    else sortable(table);
  }

  const compare = (place, data) => {
    const names = Object.keys(data.rows), selects = place.querySelectorAll("select"), body = place.querySelector("tbody");
    const cell = (text, tag = "td", kind = "") => Object.assign(document.createElement(tag), { textContent: text, className: kind });
    const line = ([, low, high], widest) => {
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      const at = (value) => 50 + 48 * value / widest;
      for (const [name, value] of Object.entries({ class: "interval", viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" })) svg.setAttribute(name, value);
      for (const [kind, path] of [["axis", "M0 4H100"], ["zero", "M50 0V8"], ["span", `M${at(low)} 4H${at(high)}`]]) {
        const drawn = document.createElementNS("http://www.w3.org/2000/svg", "path");
        drawn.setAttribute("class", kind);
        drawn.setAttribute("d", path);
        svg.append(drawn);
      }
      return svg;
    };
    // A - B is kept once for each pair, in the order of names.
    const difference = (a, b) => {
      const kept = data.pairs[`${a}|${b}`];
      if (kept) return kept;
      const other = { A: "B", B: "A", "": "" };
      return (data.pairs[`${b}|${a}`] ?? []).map((each) => each && [-each[0], -each[2], -each[1], other[each[3]]]);
    };
    const text = (value) => String(Number(value.toPrecision(3)));
    const show = () => {
      const [a, b] = [...selects].map((select) => select.value);
      const found = difference(a, b);
      const rows = data.columns.map((column, at) => {
        const row = document.createElement("tr"), each = found[at];
        row.append(cell(column, "th"), cell(data.rows[a][at]), cell(data.rows[b][at]));
        row.firstChild.scope = "row";
        if (!each) { row.append(cell("–"), cell("–"), cell(""), cell("–", "td", "words")); return row; }
        const drawn = cell("", "td", "drawn"), widest = Math.max(Math.abs(each[1]), Math.abs(each[2])) || 1;
        drawn.append(line(each, widest));
        row.append(cell(text(each[0])), cell(`${text(each[1])} to ${text(each[2])}`), drawn,
          cell({ A: a, B: b, "": "not told apart" }[each[3]], "td", "words"));
        return row;
      });
      body.replaceChildren(...rows);
      const last = found[data.columns.length - 1], name = data.columns[data.columns.length - 1];
      place.querySelector(".verdict").textContent = a === b ? "Choose two different methods."
        : !last ? "" : last[3] === "" ? `${a} and ${b} cannot be told apart by ${name}.`
        : `${last[3] === "A" ? a : b} is better by ${name}.`;
      sayScroll();
    };
    selects.forEach((select, side) => {
      select.append(...names.map((name) => new Option(name, name)));
      select.selectedIndex = Math.min(side, names.length - 1);
      select.addEventListener("change", show);
    });
    place.hidden = false;
    show();
  };
  const kept = document.getElementById("compared");
  if (kept) compare(document.querySelector(".compare"), JSON.parse(kept.textContent));

  sayScroll();
  addEventListener("resize", sayScroll);
})();
