// Samples as cards: chosen by filters, put into an order, exported. Drawn from the page's data (`SampleList`).
"use strict";
(() => {
  const { columns, filters, orders, caption, images, cards } = JSON.parse(document.getElementById("data").textContent).listing;
  const PAGE = 48;
  const find = (id) => document.getElementById(id);
  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const number = (value) => (typeof value !== "number" || Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4))));
  const names = Object.keys(columns), count = columns[names[0]].length;
  const chosen = new Map();
  let order = Object.keys(orders)[0], falling = orders[order], rows = [], most = PAGE;

  // Compared as numbers where they are; a missing value stands last whatever the direction.
  const arranged = (found) => {
    const values = columns[order];
    return found.sort((a, b) => (values[a] === null) - (values[b] === null) || (falling ? values[b] - values[a] : values[a] - values[b]) || a - b);
  };

  const picture = ([source, alt, label]) => element("div", {}, element("img", { src: images[source], alt, loading: "lazy" }), ...(label ? [element("small", { textContent: label })] : []));
  // One card for a row: where it has several slices, a slider goes through them.
  const figure = (row) => {
    const views = cards[row] ?? [], box = element("div", { className: "pictures" }), made = element("figure");
    const said = element("small", { className: "slice" });
    const show = (at) => { box.replaceChildren(...views[at].pictures.map(picture)); said.textContent = views[at].caption; };
    if (views.length) { made.append(box); show(Math.max(0, views.findIndex(({ marked }) => marked))); }
    if (views.length > 1) {
      const slider = element("input", { type: "range", min: 0, max: views.length - 1, value: Math.max(0, views.findIndex(({ marked }) => marked)) });
      slider.setAttribute("aria-label", "slice");
      slider.addEventListener("input", () => show(Number(slider.value)));
      made.append(slider);
    } else if (views[0]?.marked) made.className = "marked";
    if (views.some((view) => view.caption)) made.append(said);
    const facts = caption.filter((name) => columns[name][row] !== null).flatMap((name) => [element("dt", { textContent: name }), element("dd", { textContent: number(columns[name][row]) })]);
    made.append(element("figcaption", {}, element("dl", { className: "small" }, ...facts)));
    return made;
  };

  const page = () => {
    find("cards").replaceChildren(...rows.slice(0, most).map(figure));
    find("more").hidden = rows.length <= most;
    find("shown").textContent = `${rows.length.toLocaleString("en")} of ${count.toLocaleString("en")} rows, ${Math.min(most, rows.length)} shown as cards`;
  };
  const choose = () => {
    const kept = [...chosen].filter(([, value]) => value !== "");
    rows = arranged(d3.range(count).filter((row) => kept.every(([name, value]) => String(columns[name][row] ?? "–") === value)));
    most = PAGE;
    page();
    refill();
  };
  const content = () => [names, rows.map((row) => names.map((name) => columns[name][row]))];
  const refill = Sheet.table(find("table"), content);

  const selector = (label, entries, change) => {
    const select = element("select", {}, ...entries.map(([value, text]) => element("option", { value, textContent: text })));
    select.addEventListener("change", () => { change(select.value); choose(); });
    find("choices").append(element("label", {}, label, select));
  };
  const sorted = (values) => [...values].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  for (const name of filters) {
    const values = sorted(new Set(columns[name].map((value) => String(value ?? "–"))));
    if (values.length > 1) selector(name, [["", "all"], ...values.map((value) => [value, value])], (value) => chosen.set(name, value));
  }
  selector("order by", Object.keys(orders).flatMap((name) => {
    const first = [`${name}|${orders[name]}`, `${name}, ${orders[name] ? "largest" : "smallest"} first`];
    return [first, [`${name}|${!orders[name]}`, `${name}, ${orders[name] ? "smallest" : "largest"} first`]];
  }), (value) => { const cut = value.lastIndexOf("|"); [order, falling] = [value.slice(0, cut), value.slice(cut + 1) === "true"]; });
  find("more").addEventListener("click", () => { most += PAGE; page(); });
  find("export").addEventListener("click", () => Sheet.save(Sheet.csv(content())));
  choose();
  window.SampleList = { csv: () => Sheet.csv(content()) };
})();
