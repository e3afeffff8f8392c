// Rows as a file and as a table: the same on every page of `harness browse`.
"use strict";
const Sheet = (() => {
  // A cell that a spreadsheet would take for a formula is marked as text.
  const cell = (value) => {
    const text = value === null || value === undefined ? "" : typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  const csv = ([head, rows]) => [head, ...rows].map((row) => row.map(cell).join(",")).join("\r\n") + "\r\n";
  const save = (text) => {
    const address = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    Object.assign(document.createElement("a"), { href: address, download: "samples.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(address), 1000);
  };
  // Filled whenever it is opened, and again while it is open.
  const table = (details, content) => {
    const fill = () => {
      if (!details.open) return;
      details.querySelector(".scroll")?.remove();
      const [head, rows] = content(), box = details.appendChild(document.createElement("div"));
      box.className = "scroll";
      box.tabIndex = 0;
      box.setAttribute("role", "region");
      box.setAttribute("aria-label", "Rows as a table");
      const short = (value) => (typeof value === "number" && !Number.isInteger(value) ? String(Number(value.toPrecision(6))) : value ?? "");
      const escaped = DataTable.render.text().display;
      const render = (value, type) => (type === "display" || type === "filter" ? escaped(short(value)) : value);
      const columns = head.map((title, at) => ({ title, render, className: rows.some((row) => typeof row[at] === "string") ? "text" : "" }));
      new DataTable(box.appendChild(document.createElement("table")), { data: rows, columns, pageLength: 25, autoWidth: false, order: [], deferRender: true });
    };
    details.addEventListener("toggle", fill);
    return fill;
  };
  return { csv, save, table };
})();
