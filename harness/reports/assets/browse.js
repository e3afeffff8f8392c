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
  const pick = (points) => { state.picked = points; remark(); exported(); };

  // The picture, its colours and how many points there are.
  let visible = [];
  const draw = () => {
    visible = Browse.visible();
    const points = Browse.thinned(visible), colouring = Browse.colouring();
    stage.draw(points, colouring);
    const failures = visible.filter((point) => Browse.outcome[point] === codes.FAILURE).length;
    find("drawn").textContent = `${number(visible.length)} points, ${number(failures)} of them failures` + (points.length < visible.length
      ? `; drawn with one of ${state.every} successes, as this machine draws slowly: "frame rate" measures again` : "");
    legend(colouring);
    exported();
  };
  const exported = () => { find("export").textContent = state.picked.length ? `export CSV of the lasso (${number(state.picked.length)})` : `export CSV (${number(visible.length)})`; };
  // Numbers are of the judged study, whatever is shown; a colour that is on the screen alone says so.
  const legend = (colouring) => {
    const counts = colouring.counts, there = new Map(), found = Browse.figures();
    for (const point of visible) { const at = colouring.of(point); there.set(at, (there.get(at) ?? 0) + 1); }
    const elsewhere = visible.filter((point) => Browse.studies[Browse.studyOf[point]] !== state.study).length;
    find("counted").textContent = `${colouring.bars ? "" : "Numbers here and at the threshold: "}${found ? `${number(found.samples)} samples are judged in “${state.study.id}”` : `${state.score.name} has no answers in “${state.study.id}”`}`
      + `${found?.leftOut ? `, ${number(found.leftOut)} left out` : ""}; ${number(visible.length)} points are shown${elsewhere ? `, ${number(elsewhere)} of them of other sets or studies` : ""}.`;
    const bars = (colouring.bars ?? []).map(({ label, colours, low, high }) => {
      const bar = element("span", { className: "ramp" });
      bar.style.background = `linear-gradient(90deg, ${colours.join(",")})`;
      return element("li", {}, `${label}: ${number(low, 3)} `, bar, ` ${number(high, 3)}`);
    });
    const keys = colouring.keys.filter(({ at }) => counts.get(at) || there.has(at));
    const items = keys.slice(0, 24).map(({ label, colour, at }) => {
      const dot = element("span", { className: "dot" });
      dot.style.background = colour;
      const key = element("li", {}, dot, counts.get(at) ? `${label} (${number(counts.get(at))})` : `${label} (none in this study)`);
      if (there.get(at) !== counts.get(at)) key.append(element("span", { className: "shown", textContent: ` · ${number(there.get(at) ?? 0)} shown` }));
      return key;
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
    const texts = {};
    if (curve) {
      const { samples, failures, accepted, undetected, caught, refused } = Browse.figures();
      Object.assign(texts, {
        threshold: number(state.threshold, 5), coverage: number(accepted / samples), selective: number(undetected / accepted),
        generalized: number(undetected / samples), undetected: `${number(undetected)} of ${number(failures)}`,
        caught: `${number(caught)} of ${number(failures)}`, refused: `${number(refused)} of ${number(samples - failures)}`,
      });
      slider.setAttribute("aria-valuetext", `threshold ${texts.threshold}, coverage ${texts.coverage}, selective risk ${texts.selective}`);
    }
    for (const place of document.querySelectorAll("[data-figure]")) place.textContent = texts[place.dataset.figure] ?? "–";
    const metrics = state.study.metrics[state.score.name] ?? {};
    for (const place of document.querySelectorAll("[data-metric]")) {
      const value = metrics[place.dataset.metric];
      place.textContent = number(value === null || value === undefined ? null : value * Number(place.dataset.scale));
    }
    find("judged").textContent = curve ? `In “${state.study.id}”, of ${number(curve.samples)} samples, by ${state.score.name}.` : "";
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
      style: { fontSize: "11px", background: "transparent" }, x: { domain: [0, 1], label: "coverage", labelAnchor: "center", labelArrow: "none" }, y: { label: "risk", zero: true, domain: curve.failures ? undefined : [0, 1], labelArrow: "none" },
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
  const shownOf = (entries, count) => `${number(Math.min(PER_STUDY, entries.length))} of ${number(count)}`;
  const successes = (study) => { const curve = study.curves[state.score.name]; return curve ? curve.samples - curve.failures : 0; };
  const GROUP = 6;
  const looks = {
    "failures and successes": (panel) => panel.append(...d3.sort(Browse.studies, (study) => study !== state.study).map((study) => {
      const box = element("details", { className: "groups" }, element("summary", { textContent: study.id }));
      const fill = () => {
        if (box.childElementCount > 1) return;
        const wrong = Browse.sorted(study, codes.FAILURE), right = Browse.sorted(study, codes.SUCCESS);
        box.append(element("h3", { textContent: `most confident failures: ${shownOf(wrong, study.curves[state.score.name]?.failures ?? 0)}` }), wrong.length ? cards(wrong.slice(0, PER_STUDY)) : none("No failure here."),
          element("h3", { textContent: `least confident successes: ${shownOf(right, successes(study))}` }), right.length ? cards(right.slice(0, PER_STUDY)) : none("No success here."));
      };
      box.addEventListener("toggle", () => box.open && fill());
      if (study === state.study) { box.open = true; fill(); }
      return box;
    })),
    "groups of failures": (panel) => panel.append(none(`Groups of samples that the network treats alike, found by k-means, that fail clearly more often than all do; those with most failures first. They rest on the tested samples of all studies, each in the first study that has it, and on the predictions that ${Browse.scores[0].name} is about.`),
      ...(Browse.groups.length ? [none("Typical: the failures nearest to the centre of the group's failures, the nearest first, in the space that the groups were found in. Most confident: the failures that the chosen score is surest of.")] : []),
      ...(Browse.groups.length ? Browse.groups.map((group, at) => {
        const show = element("button", { type: "button", textContent: "show in the picture" });
        show.addEventListener("click", () => { pick([...group.members]); find("stage").scrollIntoView({ block: "nearest" }); });
        const failed = [...group.members].slice(0, Math.round(group.failures)), here = failed.filter((point) => Browse.studies[Browse.studyOf[point]] === state.study && Browse.outcome[point] === codes.FAILURE);
        const facts = [`${number(here.length)} of the failures in “${state.study.id}”`, `mean confidence ${number(group.confidence[state.score.name])}`, ...(group.shared.length ? group.shared : ["no class, prediction or set that half of them share"])];
        const surest = d3.sort(failed, (point) => -Browse.confidence[point]).slice(0, GROUP);
        return element("section", { className: "group" }, element("h3", { textContent: `${at + 1}: ${number(group.failures)} of ${number(group.samples)} fail (${percent(group.rate)})` }),
          element("p", { className: "sub", textContent: facts.join(" · ") }), element("div", { className: "pair" },
            element("div", {}, element("h4", { textContent: "typical failures" }), cards(failed.slice(0, GROUP).map((point) => ({ point })))),
            element("div", {}, element("h4", { textContent: `most confident by ${state.score.name}` }), cards(surest.map((point) => ({ point }))))), show);
      }) : [none(Browse.components ? "No group fails clearly more often than the rest." : "There are neither features nor logits to find groups by.")])),
    prototypes: (panel) => panel.append(none("Samples nearest to the centres that k-means finds in a class of a set, the largest cluster first: what the network takes for usual there, rightly predicted or not."),
      ...(Browse.prototypes.length ? d3.groups(Browse.prototypes, ({ set }) => set).map(([set, entries], at) => {
        const box = element("details", { className: "groups", open: at === 0 }, element("summary", { textContent: Browse.sets[set].name }));
        const dense = entries.every(({ members }) => members.length === 1) ? "strip" : "";
        const fill = () => box.childElementCount === 1 && box.append(element("div", { className: dense }, ...entries.map(({ label, members }) =>
          element("div", { className: dense ? "" : "row" }, element("h3", { textContent: `class ${Browse.classText(label)}` }), cards(members.map((point) => ({ point })))))));
        box.addEventListener("toggle", () => box.open && fill());
        if (at === 0) fill();
        return box;
      }) : [none("There are neither features nor logits to find prototypes by.")])),
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
    place.append(all, ...made.map(([, , label]) => label));
  };
  const sizes = d3.rollup(Browse.set, (rows) => rows.length, (set) => set);
  boxes(find("sets"), Browse.sets.map((set, at) => [at, `${set.name} (${number(sizes.get(at) ?? 0)}${sizes.get(at) === set.samples ? "" : ` of ${number(set.samples)}`})`]), state.sets);
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
    const drawn = Browse.weight ? ["samples it stands for"] : [];
    const head = ["set", "sample", ...(Browse.ids ? ["id"] : []), ...drawn, "label", "prediction", "study", "outcome", "threshold", `confidence ${state.score.name}`, "less confident"];
    const outcomes = ["success", "failure", "not judged"];
    return [head, points.map((point) => [Browse.sets[Browse.set[point]].name, Browse.sample[point], ...(Browse.ids ? [Browse.ids[point]] : []), ...(Browse.weight ? [Browse.weight[point]] : []), Browse.classText(Browse.label[point]), Browse.classText(Browse.predictedOf(point)),
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
