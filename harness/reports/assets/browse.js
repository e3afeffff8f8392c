// The failure browser's choices, its threshold, and its closer looks.
"use strict";
(() => {
  const { state, stage, codes } = Browse;
  const find = (id) => document.getElementById(id);
  const element = (name, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(name), properties);
    made.append(...children);
    return made;
  };
  const number = (value, digits = 4) =>
    value === null || value === undefined || Number.isNaN(value) ? "–" : Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(digits)));
  const percent = (share) => `${number(100 * share, 3)} %`;
  const PER_STUDY = 12, LISTED = 60, SLOW = 15, MANY = 4000, MOST_SKIPPED = 4, FASTER = 1.3;

  // Images: one rule of style for each sheet, so that no card carries it.
  const sheets = Browse.sprites;
  if (sheets) document.head.append(element("style", { textContent: sheets.sheets.map((sheet, at) => `.sheet-${at}{background-image:url("${sheet}")}`).join("") }));
  const image = (point, size) => {
    const cell = sheets ? sheets.cell[point] : -1;
    if (cell < 0) return [];
    const within = cell % sheets.perSheet, made = element("div", { className: `sprite sheet-${Math.floor(cell / sheets.perSheet)}` });
    made.setAttribute("role", "img");
    made.setAttribute("aria-label", `image of ${Browse.nameOf(point)}`);
    made.style.cssText = `width:${size}px;height:${size}px;background-size:${sheets.across * size}px auto;background-position:${-(within % sheets.across) * size}px ${-Math.floor(within / sheets.across) * size}px`;
    return [made];
  };

  const described = (point) => {
    const rank = Browse.rank(point), of = Browse.studies[Browse.studyOf[point]];
    return [
      ["label", Browse.classText(Browse.label[point])], ["prediction", Browse.classText(Browse.predictedOf(point))],
      ["confidence", number(Browse.confidence[point], 6)], ["less confident", rank === null ? "–" : percent(rank)],
      ["threshold", Browse.quadrants[Browse.quadrant(point)]], ["study", of ? of.id : "–"], ["set", Browse.sets[Browse.set[point]].name],
    ];
  };
  const detail = (point) => {
    const list = element("dl", {}, ...described(point).flatMap(([name, text]) => [element("dt", { textContent: name }), element("dd", { textContent: text })]));
    return element("div", { className: "sample" }, ...image(point, 112), element("p", { className: "name", textContent: Browse.nameOf(point) }), list);
  };
  const address = (network) => new URLSearchParams({ network, score: state.score.name, study: state.study.id, colour: state.colour, symbols: state.symbols, places: state.layout.title, dimensions: state.solid ? "3" : "2" });
  const hover = (point) => { if (point !== null && point !== undefined) find("hover").replaceChildren(detail(point)); };

  const showPinned = () => {
    find("pinned").replaceChildren(...(state.pinned.length ? [element("h2", { textContent: "pinned" })] : []), ...state.pinned.map((point) => {
      const button = element("button", { type: "button", textContent: "unpin" });
      button.setAttribute("aria-label", `unpin ${Browse.nameOf(point)}`);
      button.addEventListener("click", () => pin(point));
      const made = detail(point);
      made.append(button);
      return made;
    }));
    remark();
  };
  const remark = () => {
    stage.mark([...new Set([...state.picked, ...state.pinned])]);
    if (state.solid) draw();
  };
  const pin = (point) => {
    state.pinned = state.pinned.includes(point) ? state.pinned.filter((each) => each !== point) : [point, ...state.pinned].slice(0, 8);
    hover(point);
    showPinned();
  };

  const card = (point, value) => {
    const text = `${Browse.classText(Browse.label[point])} → ${Browse.classText(Browse.predictedOf(point))}\n${number(value ?? Browse.confidence[point])}`;
    const made = element("button", { type: "button", className: "card", title: Browse.nameOf(point) }, ...image(point, 56), element("span", { textContent: text }));
    made.addEventListener("click", () => pin(point));
    made.addEventListener("mouseenter", () => hover(point));
    made.addEventListener("focus", () => hover(point));
    return made;
  };
  const cards = (entries) => element("div", { className: "strip" }, ...entries.map(({ point, value }) => card(point, value)));
  const none = (text) => element("p", { className: "sub", textContent: text });
  const pick = (points) => { state.picked = points; remark(); };

  // The picture, its colours and how many points there are.
  let visible = [];
  const draw = () => {
    visible = Browse.visible();
    const points = Browse.thinned(visible), colouring = Browse.colouring();
    stage.draw(points, colouring);
    const failures = points.filter((point) => Browse.outcome[point] === codes.FAILURE).length;
    find("drawn").textContent = `${number(points.length)} points, ${number(failures)} failures` + (points.length < visible.length
      ? `: one of ${state.every} successes, as this machine draws slowly; "frame rate" measures again` : "");
    legend(points, colouring);
  };
  const legend = (points, colouring) => {
    const counts = new Map();
    for (const point of points) counts.set(colouring.of(point), (counts.get(colouring.of(point)) ?? 0) + 1);
    const bars = (colouring.bars ?? []).map(({ label, colours, low, high }) => {
      const bar = element("span", { className: "ramp" });
      bar.style.background = `linear-gradient(90deg, ${colours.join(",")})`;
      return element("li", {}, `${label}: ${number(low, 3)} `, bar, ` ${number(high, 3)}`);
    });
    const keys = colouring.keys.filter(({ at }) => counts.get(at));
    const items = keys.slice(0, 24).map(({ label, colour, at }) => {
      const dot = element("span", { className: "dot" });
      dot.style.background = colour;
      return element("li", {}, dot, `${label} (${number(counts.get(at))})`);
    });
    const symbols = (Browse.symbols()?.keys ?? []).map(([label, type]) => {
      const key = element("li", { innerHTML: `<svg width="16" height="16" viewBox="-8 -8 16 16" aria-hidden="true"><path fill="currentColor" d="${d3.symbol(type, 60)()}"/></svg>` });
      key.append(`class ${label}`);
      return key;
    });
    find("legend").replaceChildren(...bars, ...items, ...(keys.length > 24 ? [element("li", { textContent: `and ${keys.length - 24} more` })] : []), ...symbols);
  };

  // The threshold runs over the operating points of the judged study, which rest on all its samples.
  const slider = find("threshold");
  const setThreshold = () => {
    const curve = Browse.curve();
    slider.disabled = !curve;
    if (!curve) { state.threshold = Infinity; showFigures(null); return; }
    state.step = Number(slider.value);
    state.threshold = curve.threshold[state.step];
    showFigures(curve);
  };
  const showFigures = (curve) => {
    const at = state.step, texts = {};
    if (curve) {
      const [accepted, undetected] = [curve.accepted[at], curve.undetected[at]];
      Object.assign(texts, {
        threshold: number(state.threshold, 5), coverage: number(accepted / curve.samples), selective: number(undetected / accepted),
        generalized: number(undetected / curve.samples), undetected: `${number(undetected)} of ${number(curve.failures)}`,
        caught: number(curve.failures - undetected), refused: number(curve.samples - accepted - (curve.failures - undetected)),
      });
      slider.setAttribute("aria-valuetext", `threshold ${texts.threshold}, coverage ${texts.coverage}, selective risk ${texts.selective}`);
    }
    for (const place of document.querySelectorAll("[data-figure]")) place.textContent = texts[place.dataset.figure] ?? "–";
    const metrics = state.study.metrics[state.score.name] ?? {};
    for (const place of document.querySelectorAll("[data-metric]")) {
      const value = metrics[place.dataset.metric];
      place.textContent = number(value === null || value === undefined ? null : value * Number(place.dataset.scale));
    }
    drawCurve(curve);
    showNetworks();
  };
  // The judged study and the score in every network.
  const showNetworks = () => {
    if (Browse.networks.length < 2) return;
    const shown = [...document.querySelectorAll("[data-metric]")].map(({ dataset, previousElementSibling: { textContent } }) => [dataset.metric, textContent, Number(dataset.scale)]);
    const rows = Browse.networks.map(({ name, studies }) => {
      const values = studies.find(({ id }) => id === state.study.id)?.metrics[state.score.name] ?? {};
      const button = element("button", { type: "button", textContent: name, disabled: name === find("network").value });
      button.addEventListener("click", () => open(name));
      const cells = shown.map(([metric, , scale]) => element("td", { textContent: number((values[metric] ?? NaN) * scale) }));
      return element("tr", {}, element("th", { scope: "row" }, button), ...cells);
    });
    const head = element("tr", {}, ...["network", ...shown.map(([, heading]) => heading)].map((textContent) => element("th", { scope: "col", textContent })));
    find("networks").replaceChildren(element("caption", { textContent: `${state.score.name} in ${state.study.id}, of every network` }), element("thead", {}, head), element("tbody", {}, ...rows));
  };
  const open = (network) => { location.hash = address(network); };
  const drawCurve = (curve) => {
    const place = find("curve"), width = place.clientWidth;
    if (!curve || !width) { place.replaceChildren(...(curve ? [] : [none("This score has no answers in this study.")])); return; }
    const rows = d3.range(curve.accepted.length).map((at) => ({
      coverage: curve.accepted[at] / curve.samples, generalized: curve.undetected[at] / curve.samples, selective: curve.undetected[at] / curve.accepted[at],
    }));
    const here = [rows[state.step]], line = { x: "coverage", strokeWidth: 2 };
    const made = Plot.plot({
      width, height: Math.round(Math.min(340, width * 0.45)), marginLeft: 52, marginBottom: 38, grid: true, ariaLabel: `Risk by coverage of ${state.score.name} in ${state.study.id}`,
      style: { fontSize: "11px", background: "transparent" }, x: { domain: [0, 1], label: "coverage", labelAnchor: "center", labelArrow: "none" }, y: { label: "risk", zero: true, labelArrow: "none" },
      marks: [
        Plot.line(rows, { ...line, y: "generalized", stroke: "var(--own)" }), Plot.line(rows, { ...line, y: "selective", stroke: "var(--best)", strokeDasharray: "7 3" }),
        Plot.ruleX(here, { x: "coverage", stroke: "var(--muted)" }),
        Plot.dot(here, { x: "coverage", y: "generalized", fill: "var(--own)", r: 5 }), Plot.dot(here, { x: "coverage", y: "selective", fill: "var(--best)", r: 5 }),
      ],
    });
    made.setAttribute("role", "img");
    for (const part of made.querySelectorAll("g[aria-label], g[aria-description]")) { part.removeAttribute("aria-label"); part.removeAttribute("aria-description"); }
    place.replaceChildren(made);
  };
  const resetThreshold = () => {
    const curve = Browse.curve();
    if (curve) {
      slider.max = curve.threshold.length - 1;
      const wanted = curve.accepted.findIndex((accepted) => accepted <= 0.8 * curve.samples);
      slider.value = Math.max(0, wanted);
    }
    setThreshold();
  };

  // Closer looks.
  const looks = {
    "failures and successes": (panel) => panel.append(...d3.sort(Browse.studies, (study) => study !== state.study).map((study) => {
      const box = element("details", { className: "groups" }, element("summary", { textContent: study.id }));
      const fill = () => {
        if (box.childElementCount > 1) return;
        const wrong = Browse.sorted(study, codes.FAILURE), right = Browse.sorted(study, codes.SUCCESS);
        box.append(element("h3", { textContent: `most confident failures (of ${number(study.curves[state.score.name]?.failures ?? 0)})` }), wrong.length ? cards(wrong.slice(0, PER_STUDY)) : none("No failure here."),
          element("h3", { textContent: "least confident successes" }), right.length ? cards(right.slice(0, PER_STUDY)) : none("No success here."));
      };
      box.addEventListener("toggle", () => box.open && fill());
      if (study === state.study) { box.open = true; fill(); }
      return box;
    })),
    "groups of failures": (panel) => panel.append(none("Groups of samples that are alike and fail clearly more often than all do, by k-means; those with most failures first. A sample counts in the first study that has it."),
      ...(Browse.groups.length ? Browse.groups.map((group, at) => {
        const show = element("button", { type: "button", textContent: "show in the picture" });
        show.addEventListener("click", () => { pick([...group.members]); find("stage").scrollIntoView({ block: "nearest" }); });
        const facts = [`mean confidence ${number(group.confidence[state.score.name])}`, ...group.shared];
        return element("section", { className: "group" }, element("h3", { textContent: `${at + 1}: ${number(group.failures)} of ${number(group.samples)} fail (${percent(group.rate)})` }),
          element("p", { className: "sub", textContent: facts.join(" · ") }), cards([...group.members].slice(0, PER_STUDY).map((point) => ({ point }))), show);
      }) : [none("No group fails clearly more often than the rest.")])),
    prototypes: (panel) => panel.append(none("Samples nearest to the centres that k-means finds in a class of a set, the largest cluster first."),
      ...(Browse.prototypes.length ? d3.groups(Browse.prototypes, ({ set }) => set).map(([set, entries], at) => {
        const box = element("details", { className: "groups", open: at === 0 }, element("summary", { textContent: Browse.sets[set].name }));
        const fill = () => box.childElementCount === 1 && box.append(...entries.map(({ label, members }) =>
          element("div", { className: "row" }, element("h3", { textContent: `class ${Browse.classText(label)}` }), cards(members.map((point) => ({ point }))))));
        box.addEventListener("toggle", () => box.open && fill());
        if (at === 0) fill();
        return box;
      }) : [none("There is nothing to find prototypes by.")])),
    lasso: (panel) => {
      const points = state.picked;
      if (!points.length) { panel.append(none("Choose \"lasso\" above the picture, or hold shift, and draw around points: they are listed here.")); return; }
      const judged = points.filter((point) => Browse.outcome[point] !== codes.LEFT_OUT), wrong = judged.filter((point) => Browse.outcome[point] === codes.FAILURE);
      const most = (of) => d3.sort(d3.rollups(points, (rows) => rows.length, of), ([, rows]) => -rows).slice(0, 5).map(([name, rows]) => `${name} (${number(rows)})`).join(", ");
      const facts = [["points", number(points.length)], ["failures", `${number(wrong.length)} of ${number(judged.length)} judged`], ["mean confidence", number(d3.mean(judged, (point) => Browse.confidence[point]))],
        ["sets", most((point) => Browse.sets[Browse.set[point]].name)], ["label → prediction", most((point) => `${Browse.classText(Browse.label[point])} → ${Browse.classText(Browse.predictedOf(point))}`)]];
      const clear = element("button", { type: "button", textContent: "clear" });
      clear.addEventListener("click", () => { pick([]); look(); });
      panel.append(element("dl", { className: "small" }, ...facts.flatMap(([name, text]) => [element("dt", { textContent: name }), element("dd", { textContent: text })])), clear,
        cards([...wrong, ...points.filter((point) => Browse.outcome[point] !== codes.FAILURE)].slice(0, LISTED).map((point) => ({ point }))),
        ...(points.length > LISTED ? [none(`The first ${LISTED}, failures first; export CSV has all.`)] : []));
    },
  };
  let chosen = Object.keys(looks)[0];
  const tabs = document.querySelector(".tabs"), panel = find("panel");
  const look = (name = chosen) => {
    chosen = name;
    for (const tab of tabs.children) {
      tab.setAttribute("aria-selected", String(tab.textContent === name));
      tab.tabIndex = tab.textContent === name ? 0 : -1;
      if (tab.textContent === name) panel.setAttribute("aria-labelledby", tab.id);
    }
    panel.replaceChildren();
    looks[name](panel);
  };
  Object.keys(looks).forEach((name, at) => {
    const tab = element("button", { type: "button", id: `tab-${at}`, textContent: name });
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", "panel");
    tab.addEventListener("click", () => look(name));
    tabs.append(tab);
  });
  tabs.addEventListener("keydown", ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    const all = [...tabs.children], next = all[(all.findIndex((tab) => tab.textContent === chosen) + step + all.length) % all.length];
    look(next.textContent);
    next.focus();
  });

  // Choices. Another address is the page loaded anew: see browse-points.js.
  addEventListener("hashchange", () => location.reload());
  const options = (select, entries) => select.append(...entries.map((text, value) => element("option", { textContent: text, value })));
  options(find("score"), Browse.scores.map((score) => score.name));
  find("network").append(...Browse.networks.map(({ name }) => element("option", { value: name, textContent: name })));
  find("network").addEventListener("change", ({ target }) => open(target.value));
  find("network").value = Browse.name;
  find("model").textContent = Browse.name;
  find("notes").replaceChildren(...Browse.notes.map((textContent) => element("li", { textContent })));
  find("still").src = Browse.picture;
  options(find("study"), Browse.studies.map((study) => study.id));
  options(find("layout"), Browse.layouts.map((layout) => layout.title));
  const judgeAnew = () => { Browse.judge(); resetThreshold(); draw(); showPinned(); look(); };
  // A choice that the address keeps: the page loaded anew, or passed on, shows the same.
  const chosenBy = (what, choose, show = draw) => what.addEventListener("change", ({ target }) => {
    choose(target.value);
    history.replaceState(null, "", `#${address(Browse.name)}`);
    show();
  });
  chosenBy(find("score"), (value) => { state.score = Browse.scores[value]; }, judgeAnew);
  chosenBy(find("study"), (value) => { state.study = Browse.studies[value]; }, judgeAnew);
  chosenBy(find("colour"), (value) => { state.colour = value; });
  chosenBy(find("symbols"), (value) => { state.symbols = value; });
  chosenBy(find("layout"), (value) => { state.layout = Browse.layouts[value]; });
  for (const radio of document.getElementsByName("dimensions")) {
    radio.checked = (radio.value === "3") === state.solid;
    chosenBy(radio, (value) => { state.solid = value === "3"; });
  }
  for (const name of ["size", "opacity"]) find(name).addEventListener("input", ({ target }) => { state[name] = Number(target.value); draw(); });
  slider.addEventListener("input", () => { setThreshold(); if (state.colour === "outcome") draw(); });
  const boxes = (place, entries, kept) => {
    const all = element("button", { type: "button", textContent: "all or none" });
    const made = entries.map(([value, text]) => {
      const box = element("input", { type: "checkbox", checked: true });
      box.addEventListener("change", () => { if (box.checked) kept.add(value); else kept.delete(value); draw(); });
      return [box, value, element("label", {}, box, ` ${text}`)];
    });
    all.addEventListener("click", () => {
      const on = kept.size === 0;
      for (const [box, value] of made) { box.checked = on; if (on) kept.add(value); else kept.delete(value); }
      draw();
    });
    place.append(...made.map(([, , label]) => label), all);
  };
  const sizes = d3.rollup(Browse.set, (rows) => rows.length, (set) => set);
  boxes(find("sets"), Browse.sets.map((set, at) => [at, `${set.name} (${number(sizes.get(at) ?? 0)})`]), state.sets);
  boxes(find("classes"), Browse.classes.map((label) => [label, Browse.classText(label)]), state.classes);

  // Tools.
  find("lasso").addEventListener("click", ({ target }) => {
    const on = target.getAttribute("aria-pressed") !== "true";
    target.setAttribute("aria-pressed", String(on));
    stage.lasso(on);
  });
  find("whole").addEventListener("click", () => stage.whole());
  // Frames in a second of drawing; below 15, one of 2 to 4 successes is drawn, if that is clearly faster.
  const measure = (most = 1000) => new Promise((done) => {
    const start = performance.now();
    let frames = 0;
    const next = (now) => {
      const spent = now - start;
      if (spent >= most || frames >= 90) { done((1000 * frames) / Math.max(1, spent)); return; }
      stage.frame();
      frames++;
      requestAnimationFrame(next);
    };
    requestAnimationFrame(next);
  });
  const suit = async (most) => {
    if (!stage.works) return 0;
    const rate = await measure(most);
    if (rate >= SLOW || visible.length <= MANY) return rate;
    state.every = Math.min(MOST_SKIPPED, Math.ceil(SLOW / Math.max(1, rate)));
    draw();
    await new Promise((done) => setTimeout(done, 300));
    const fewer = await measure(most);
    if (fewer < FASTER * rate) { state.every = 1; draw(); return rate; }
    return fewer;
  };
  find("rate").addEventListener("click", async ({ target }) => {
    target.disabled = true;
    state.every = 1;
    draw();
    const rate = await suit(1000);
    target.disabled = false;
    find("drawn").textContent = `${rate.toFixed(0)} frames per second. ${find("drawn").textContent}`;
  });

  const table = (points) => {
    const head = ["set", "sample", ...(Browse.ids ? ["id"] : []), "label", "prediction", "study", "outcome", "threshold", `confidence ${state.score.name}`, "less confident"];
    const outcomes = ["success", "failure", "not judged"];
    return [head, points.map((point) => [Browse.sets[Browse.set[point]].name, Browse.sample[point], ...(Browse.ids ? [Browse.ids[point]] : []), Browse.classText(Browse.label[point]), Browse.classText(Browse.predictedOf(point)),
      Browse.studies[Browse.studyOf[point]]?.id ?? "", outcomes[Browse.outcome[point]], Browse.quadrants[Browse.quadrant(point)], Number.isNaN(Browse.confidence[point]) ? null : Browse.confidence[point], Browse.rank(point)])];
  };
  Browse.csv = () => Sheet.csv(table(state.picked.length ? state.picked : visible));
  find("export").addEventListener("click", () => Sheet.save(Browse.csv()));
  Sheet.table(find("table"), () => table(visible));

  // The keyboard goes through the points, the most confident failures first.
  let cursor = -1, walk = [];
  find("stage").addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step && event.shiftKey && state.solid) stage.turn(step * 0.1, 0);
    else if (step) {
      walk = d3.sort(visible, (point) => -(Browse.outcome[point] === codes.FAILURE), (point) => -Browse.confidence[point]);
      cursor = Math.max(0, Math.min(walk.length - 1, cursor + step));
      if (walk.length) { hover(walk[cursor]); stage.mark([...state.pinned, walk[cursor]]); }
      if (state.solid) draw();
    } else if (event.key === "Enter" && walk[cursor] !== undefined) pin(walk[cursor]);
    else if (event.key === "Escape") { state.pinned = []; showPinned(); }
    else return;
    event.preventDefault();
  });

  Object.assign(stage.events, { hover, click: pin, lasso: (points) => { pick(points); look("lasso"); } });
  find("score").value = Browse.scores.indexOf(state.score);
  find("study").value = Browse.studies.indexOf(state.study);
  find("layout").value = Browse.layouts.indexOf(state.layout);
  find("colour").value = state.colour;
  find("symbols").value = state.symbols;
  Browse.judge();
  resetThreshold();
  draw();
  showPinned();
  look();
  new ResizeObserver(() => drawCurve(Browse.curve())).observe(find("curve"));
  if (Browse.count > MANY) setTimeout(() => suit(500), 300);
})();
