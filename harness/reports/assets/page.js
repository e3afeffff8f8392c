// Draws the views of harness.tracks.views from the page's data. Charts: Observable Plot. Tables: DataTables.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const number = (value, digits = 4) =>
    value === null || value === undefined ? "–" : Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(digits)));
  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };

  // Columns of repeated words come as `of`, the words, and `at`, which of them.
  for (const view of data.views) {
    for (const columns of [view.columns, ...(view.units ?? []).map((unit) => unit.listed)].filter(Boolean)) {
      for (const [name, values] of Object.entries(columns)) {
        if (!Array.isArray(values)) columns[name] = values.at.map((at) => values.of[at]);
      }
    }
  }

  // Columns of equal length -> rows.
  const rowsOf = (columns) => {
    const names = Object.keys(columns);
    return (names.length ? columns[names[0]] : []).map((_, at) => Object.fromEntries(names.map((name) => [name, columns[name][at]])));
  };

  // A mark as data -> a mark of Plot. `tip: true` shows all channels; `pointer` follows the mouse.
  const markOf = ({ mark, where, values, pointer, ...options }, rows) => {
    const kept = values ?? rows.filter((row) => Object.entries(where ?? {}).every(([name, value]) => row[name] === value));
    const tuned = pointer ? Plot[pointer === "x" ? "pointerX" : "pointer"](options) : options;
    return Plot[mark](kept, tuned);
  };

  // Names that take too much of a narrow chart are cut; the table below has them whole.
  const fitted = (options, width) => {
    const most = Math.floor(Math.max(0.45 * width, width - 320)), letters = Math.floor((most - 24) / 6);
    if (!(options.marginLeft > most)) return options;
    const tickFormat = (name) => (name.length > letters ? `${name.slice(0, letters - 1)}…` : name);
    return { ...options, marginLeft: most, y: { ...options.y, tickFormat } };
  };

  const plot = (view, rows, width, label) => {
    const { aspect, ...given } = view.options, options = fitted(given, width);
    const axis = { labelAnchor: "center", labelArrow: "none" };
    const inset = { marginLeft: 58, marginBottom: 38, marginTop: 12, marginRight: 14 };
    const drawing = (y) => Plot.plot({
      ...inset, grid: true, ...options, width, height: options.height ?? Math.round(width * (aspect ?? 0.66)), ariaLabel: label,
      style: { fontSize: "11px", background: "transparent" },
      x: { ...axis, ...options.x }, y: { ...axis, ...options.y, ...y },
      marks: view.marks.map((mark) => markOf(mark, rows)),
    });
    let made = drawing();
    // Values that are all equal, such as no risk at all, span no axis of their own.
    const [low, high] = made.scale("y")?.domain ?? [];
    if (typeof low === "number" && low === high) made = drawing({ domain: [Math.min(0, low), Math.max(0, low) || 1] });
    // One image with a name; the table below it holds what it shows.
    const svg = made.matches("svg") ? made : made.querySelector("svg:last-of-type");
    svg.setAttribute("role", "img");
    for (const part of made.querySelectorAll("g[aria-label], g[aria-description]")) {
      part.removeAttribute("aria-label");
      part.removeAttribute("aria-description");
    }
    const hinted = view.marks.find(({ tip, mark, pointer }) => tip || (mark === "tip" && pointer));
    if (hinted) hintsByKeyboard(svg, made, hinted, rows.filter((row) => Object.entries(hinted.where ?? {}).every(([name, value]) => row[name] === value)), options);
    return made;
  };

  // Hints without a mouse: arrow keys go through the rows from left to right, and the hint that shows is read out.
  const hintsByKeyboard = (svg, made, { x, y, fy, title }, rows, axes) => {
    const at = (name, value) => {
      const scale = made.scale(name);
      return scale.apply(value) + (scale.bandwidth ?? 0) / 2;
    };
    const facet = fy ? made.scale("fy") : null;
    const places = rows.filter((row) => [row[x], row[y]].every((value) => value !== null && value !== undefined))
      .map((row) => [at("x", row[x]), at("y", row[y]) + (facet ? facet.apply(row[fy]) - facet.range[0] : 0), row]);
    if (facet) places.sort((a, b) => a[1] - b[1] || a[0] - b[0]); else places.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    // What the hint says; one that is a name alone leaves to the axes what a reader sees there.
    const text = (row) => [...svg.querySelectorAll("tspan:has(> tspan[font-weight=bold])")].map((each) => each.textContent.replace(/\u200b|\s*■/g, "").replace(/^fy /, "")).join(", ")
      || [row[title], ...[["x", x], ["y", y]].map(([name, of]) => `${axes[name]?.label ?? of} ${typeof row[of] === "number" ? number(row[of]) : row[of]}`)].filter(Boolean).join(", ");
    let here = -1;
    const said = element("span", { className: "said" });
    said.setAttribute("aria-live", "polite");
    svg.setAttribute("tabindex", "0");
    svg.setAttribute("aria-description", "Arrow keys go through the values.");
    svg.addEventListener("keydown", (event) => {
      const to = { ArrowRight: here + 1, ArrowLeft: here - 1, Home: 0, End: places.length - 1, Escape: -1 }[event.key];
      if (to === undefined || !places.length) return;
      event.preventDefault();
      if (!said.isConnected) svg.after(said);
      here = Math.max(event.key === "Escape" ? -1 : 0, Math.min(places.length - 1, to));
      const { left, top, width } = svg.getBoundingClientRect(), scale = width / Number(svg.getAttribute("width"));
      const [px, py] = here < 0 ? [0, 0] : places[here];
      svg.dispatchEvent(new PointerEvent(here < 0 ? "pointerleave" : "pointermove", { clientX: left + px * scale, clientY: top + py * scale, pointerType: "mouse", bubbles: true }));
      // The hint is drawn with one of the next frames.
      setTimeout(() => { said.textContent = here < 0 ? "" : text(places[here][2]); }, 80);
    });
  };

  // Draws now and whenever the width changes.
  const drawn = (place, draw) => {
    let before = 0;
    const again = () => {
      const width = Math.round(place.clientWidth);
      if (width && width !== before) { before = width; draw(); }
    };
    new ResizeObserver(again).observe(place);
    again();
    return () => { before = 0; again(); };
  };

  const drawChart = (place) => {
    const view = data.views[Number(place.dataset.view)];
    const panels = group(view);
    if (panels.length === 1) place.classList.add("single");
    const figures = panels.map(([name]) => element("figure", {}, ...(name ? [element("figcaption", { textContent: name })] : [])));
    const slots = figures.map((figure) => figure.appendChild(element("div")));
    place.append(...figures);
    drawn(place, () => panels.forEach(([name, rows], at) => {
      const label = `${view.title}${name ? ", " + name : ""}`;
      // A chart that may scroll grows no further than by a quarter: its cells need not be larger.
      const most = view.least_width ? Math.min(slots[at].clientWidth, 1.25 * view.least_width) : slots[at].clientWidth;
      slots[at].replaceChildren(plot(view, rows, Math.max(220, view.least_width, most), label));
    }));
  };

  const group = (view) => {
    const found = new Map();
    for (const row of rowsOf(view.columns)) {
      const name = view.panel ? String(row[view.panel]) : "";
      if (!found.has(name)) found.set(name, []);
      found.get(name).push(row);
    }
    return [...found];
  };

  // How many decimals a column of numbers needs, so that they stand below each other; null: each as it is.
  const decimalsOf = (values) => {
    const numbers = values.filter((value) => typeof value === "number");
    if (numbers.every(Number.isInteger) || numbers.some((value) => value !== 0 && Math.abs(value) < 1e-4)) return null;
    return Math.max(...numbers.map((value) => (number(value, 6).split(".")[1] ?? "").length));
  };

  // A table of columns; cells are set as text.
  const tableOf = (columns) => {
    const names = Object.keys(columns), rows = rowsOf(columns);
    const decimals = Object.fromEntries(names.map((name) => [name, decimalsOf(columns[name])]));
    const text = (name, value) => (typeof value !== "number" ? value ?? "–" : decimals[name] === null ? number(value, 6) : value.toFixed(decimals[name]));
    const head = element("thead", {}, element("tr", {}, ...names.map((name) => element("th", { scope: "col", textContent: name }))));
    const body = element("tbody", {}, ...rows.map((row) => element("tr", {}, ...names.map((name) =>
      element("td", { textContent: text(name, row[name]), className: typeof row[name] === "string" ? "words" : "" })))));
    return element("table", {}, head, body);
  };
  const scrolling = (table, label) => {
    const box = element("div", { className: "scroll", tabIndex: 0 }, table);
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", label);
    return box;
  };

  const fillFallback = (details) => {
    details.addEventListener("toggle", () => {
      if (!details.open || details.querySelector("table")) return;
      const view = data.views[Number(details.dataset.table)];
      const columns = Object.fromEntries(Object.entries(view.columns).filter(([, values]) => new Set(values).size > 1 || values.length === 1));
      const table = tableOf(columns);
      details.append(scrolling(table, view.title));
      new DataTable(table, { order: [], pageLength: 25, autoWidth: false });
    });
  };

  const startThresholds = (place) => {
    const view = data.views[Number(place.dataset.view)];
    const select = place.querySelector("select"), slider = place.querySelector("input"), plots = place.querySelector(".plots");
    const figure = (name) => place.querySelector(`[data-figure="${name}"]`);
    plots.classList.add("single");
    const slot = plots.appendChild(element("div"));
    const state = () => {
      const unit = view.units[Number(select.value)], at = Number(slider.value);
      const accepted = unit.accepted[at], undetected = unit.undetected[at];
      return { unit, at, accepted, undetected, threshold: unit.threshold[at] };
    };
    const draw = drawn(slot, () => {
      const { unit, at } = state();
      const rows = unit.accepted.map((accepted, i) => ({ coverage: accepted / unit.samples, generalized: unit.undetected[i] / unit.samples, selective: unit.undetected[i] / accepted }));
      const line = { mark: "line", x: "coverage" }, here = [rows[at]];
      slot.replaceChildren(plot({ options: { x: { domain: [0, 1], label: "coverage" }, y: { label: "risk", zero: true }, aspect: 0.45 }, marks: [
        { ...line, y: "generalized", stroke: "var(--own)", strokeWidth: 2 },
        { ...line, y: "selective", stroke: "var(--best)", strokeWidth: 1.5, strokeDasharray: "7 3" },
        { mark: "ruleX", values: here, x: "coverage", stroke: "var(--muted)" },
        { mark: "dot", values: here, x: "coverage", y: "generalized", fill: "var(--own)", r: 5 },
        { mark: "dot", values: here, x: "coverage", y: "selective", fill: "var(--best)", r: 5 },
      ] }, rows, Math.max(220, slot.clientWidth), `Risk by coverage of ${unit.label}`));
    });
    const show = () => {
      const { unit, accepted, undetected, threshold } = state();
      const values = {
        threshold: number(threshold, 5), coverage: number(accepted / unit.samples), selective: number(undetected / accepted),
        generalized: number(undetected / unit.samples), undetected: `${undetected} of ${unit.failures}`, caught: String(unit.failures - undetected),
        refused: String(unit.samples - accepted - (unit.failures - undetected)),
      };
      for (const [name, text] of Object.entries(values)) figure(name).textContent = text;
      slider.setAttribute("aria-valuetext", `threshold ${values.threshold}, coverage ${values.coverage}, selective risk ${values.selective}`);
      const listed = rowsOf(unit.listed).filter((row) => row.confidence >= threshold);
      figure("heading").textContent = undetected === 0 ? "No failure is accepted here"
        : listed.length < undetected ? `The ${listed.length} most confident of ${undetected} accepted failures` : `Accepted failures: ${undetected}`;
      const columns = Object.fromEntries(Object.keys(unit.listed).map((name) => [name, listed.map((row) => row[name])]));
      const box = place.querySelector(".failures");
      box.replaceChildren(...(listed.length ? [scrolling(tableOf(columns), "Accepted failures")] : []));
      draw();
    };
    const choose = () => {
      const { unit } = { unit: view.units[Number(select.value)] };
      slider.max = unit.threshold.length - 1;
      const wanted = unit.accepted.findIndex((accepted) => accepted <= 0.8 * unit.samples);
      slider.value = wanted < 0 ? 0 : wanted;
      show();
    };
    select.addEventListener("change", choose);
    slider.addEventListener("input", show);
    choose();
  };

  // Wide tables say that they scroll.
  const sayScroll = () => {
    for (const note of document.querySelectorAll(".scrolls")) {
      const box = note.nextElementSibling;
      note.hidden = !box || box.scrollWidth <= box.clientWidth + 1;
    }
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    const rows = table.tBodies[0]?.rows.length ?? 0;
    new DataTable(table, { order: [], paging: false, info: false, searching: rows > 30, autoWidth: false });
  }
  for (const place of document.querySelectorAll(".plots[data-view]")) drawChart(place);
  for (const place of document.querySelectorAll(".thresholds")) startThresholds(place);
  for (const details of document.querySelectorAll("details[data-table]")) fillFallback(details);
  sayScroll();
  addEventListener("resize", sayScroll);
  addEventListener("beforeprint", () => document.querySelectorAll("details:not(.fallback)").forEach((each) => { each.open = true; }));
})();
