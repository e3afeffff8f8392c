// The points of the failure browser: what scores say of each, and in which colour that is shown.
"use strict";
const Browse = {};
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const arrays = { i4: Int32Array, f4: Float32Array, f8: Float64Array, u1: Uint8Array };
  // {type: base64} -> typed array, everywhere below.
  const unpacked = (value) => {
    if (Array.isArray(value)) return value.map(unpacked);
    if (value === null || typeof value !== "object") return value;
    const entries = Object.entries(value);
    if (entries.length === 1 && arrays[entries[0][0]] && typeof entries[0][1] === "string") {
      const text = atob(entries[0][1]), bytes = new Uint8Array(text.length);
      for (let at = 0; at < text.length; at++) bytes[at] = text.charCodeAt(at);
      return new arrays[entries[0][0]](bytes.buffer);
    }
    return Object.fromEntries(entries.map(([name, each]) => [name, unpacked(each)]));
  };
  // The address after # says which network is shown, and how: another network is the page loaded anew.
  const asked = new URLSearchParams(location.hash.slice(1));
  const entry = (entries, of, name) => entries.find((each) => each[of] === asked.get(name)) ?? entries[0];
  const network = entry(data.networks, "name", "network");
  Object.assign(Browse, unpacked(network), { networks: data.networks });
  Browse.sprites = data.sprites && Browse.cell ? { ...data.sprites, cell: Browse.cell } : null;
  const count = (Browse.count = Browse.set.length);
  const [SUCCESS, FAILURE, LEFT_OUT] = [0, 1, 2];
  const UNTOLD = -2;

  const state = (Browse.state = {
    score: entry(Browse.scores, "name", "score"), study: entry(Browse.studies, "id", "study"), colour: asked.get("colour") ?? "outcome",
    symbols: asked.get("symbols") ?? "", layout: entry(Browse.layouts, "title", "places"), solid: asked.get("dimensions") === "3", size: 4, opacity: 0.7, threshold: 0, step: 0, sets: new Set(Browse.sets.keys()), classes: new Set(Browse.label), picked: [], pinned: [], every: 1,
  });
  // Counts are of all samples, of which a page may have drawn some: so are the classes.
  for (const study of Browse.studies) for (const { label } of Object.values(study.counts)) for (const each of label) state.classes.add(each);
  Browse.classes = [...state.classes].sort((a, b) => a - b);
  Browse.classText = (label) => (label === UNTOLD ? "not stored" : label < 0 ? "none" : String(label));
  Browse.predictedOf = (point) => Browse.predicted[state.score.classifier][point];
  Browse.nameOf = (point) => Browse.ids?.[point] || `${Browse.sets[Browse.set[point]].name} ${Browse.sample[point]}`;

  // Per point, in the judged study where it has the point, else in the first that counts it.
  const confidence = (Browse.confidence = new Float64Array(count));
  const outcome = (Browse.outcome = new Uint8Array(count));
  const studyOf = (Browse.studyOf = new Int16Array(count));
  Browse.judge = () => {
    confidence.fill(NaN);
    outcome.fill(LEFT_OUT);
    studyOf.fill(-1);
    const order = [...Browse.studies.keys()].reverse().filter((each) => Browse.studies[each] !== state.study);
    for (const at of [...order, Browse.studies.indexOf(state.study)]) {
      const study = Browse.studies[at], values = study.confidence[state.score.name], codes = study.outcome[state.score.classifier];
      if (!values || !codes) continue;
      for (let i = 0; i < values.length; i++) {
        const point = study.at[i];
        if (codes[i] === LEFT_OUT && studyOf[point] >= 0 && study !== state.study) continue;
        confidence[point] = values[i];
        outcome[point] = codes[i];
        studyOf[point] = at;
      }
    }
  };
  Browse.curve = () => state.study.curves[state.score.name];

  // 0 silent failure, 1 caught failure, 2 false alarm, 3 correct, 4 not judged.
  Browse.quadrant = (point) => {
    if (outcome[point] === LEFT_OUT) return 4;
    const accepted = confidence[point] >= state.threshold;
    return outcome[point] === FAILURE ? (accepted ? 0 : 1) : accepted ? 3 : 2;
  };
  Browse.quadrants = ["silent failure", "caught failure", "false alarm", "correct", "not judged"];

  // Share of the study's samples that are less confident, from its operating points; null where the study has none.
  Browse.rank = (point) => {
    const curve = Browse.studies[studyOf[point]]?.curves[state.score.name];
    if (!curve) return null;
    const place = d3.bisectRight(curve.threshold, confidence[point]) - 1;
    return place < 0 ? 0 : 1 - curve.accepted[place] / curve.samples;
  };

  const STEPS = 24;
  const ramp = (from, to) => d3.range(STEPS).map((step) => d3.color(d3.interpolateLab(from, to)(step / (STEPS - 1))).formatHex());
  const RIGHT = ramp("#b9d9ef", "#00527f"), WRONG = ramp("#f9d9a8", "#b3200e"), NEUTRAL = "#9aa1a8";
  const palette = (size) => size <= 10 ? d3.schemeTableau10.slice(0, size)
    : d3.range(size).map((at) => d3.color(d3.interpolateSinebow(at / size)).formatHex());
  // key: (set, label, prediction, outcome) -> which colour, of a point or of samples that are alike in all four.
  const ofPoint = (key) => (point) => key(Browse.set[point], Browse.label[point], Browse.predictedOf(point), outcome[point]);
  const keyed = (names, colours) => names.map((label, at) => ({ label, colour: colours[at], at }));
  const named = (names, colours, key) => ({ colours, of: ofPoint(key), keys: keyed(names, colours), counts: counted(key) });
  // How many samples of the judged study have each colour, whether points are shown or not.
  const counted = (key) => {
    const found = new Map(), rows = state.study.counts[state.score.classifier];
    rows?.samples.forEach((samples, row) => {
      const at = key(rows.set[row], rows.label[row], rows.predicted[row], rows.outcome[row]);
      found.set(at, (found.get(at) ?? 0) + samples);
    });
    return found;
  };
  // What the threshold does with the samples of the judged study: the numbers of the figures, the legend and the tabs.
  Browse.figures = () => {
    const curve = Browse.curve(), rows = state.study.counts[state.score.classifier];
    if (!curve) return null;
    const [accepted, undetected] = [curve.accepted[state.step], curve.undetected[state.step]], caught = curve.failures - undetected;
    const leftOut = d3.sum(rows.samples.filter((_, row) => rows.outcome[row] === LEFT_OUT));
    return { samples: curve.samples, failures: curve.failures, accepted, undetected, caught, refused: curve.samples - accepted - caught, correct: accepted - undetected, leftOut };
  };
  const scaled = (value, low, high, title) => ({
    colours: [...RIGHT, ...WRONG, NEUTRAL],
    of: (point) => outcome[point] === LEFT_OUT ? 2 * STEPS
      : (outcome[point] === FAILURE ? STEPS : 0) + Math.min(STEPS - 1, Math.max(0, Math.floor(((value(point) - low) / (high - low || 1)) * STEPS))),
    bars: [["successes", RIGHT], ["failures", WRONG]].map(([label, colours]) => ({ label: `${title}, ${label}`, colours, low, high })),
    keys: [{ label: "not judged", colour: NEUTRAL, at: 2 * STEPS }],
    counts: new Map([[2 * STEPS, Browse.figures()?.leftOut ?? 0]]),
  });
  const byClass = (key, others = []) => {
    const values = [...new Set([...Browse.classes, ...others])].sort((a, b) => a - b);
    const place = new Map(values.map((value, at) => [value, at]));
    return named(values.map(Browse.classText), palette(values.length), (...facts) => place.get(key(...facts)));
  };
  const modes = {
    outcome: () => {
      const colours = ["#d55e00", "#2b8fd6", "#e0a100", "#7fa99b", NEUTRAL], found = Browse.figures();
      const counts = found ? [found.undetected, found.caught, found.refused, found.correct, found.leftOut] : [];
      return { colours, of: Browse.quadrant, keys: keyed(Browse.quadrants, colours), counts: new Map(counts.entries()) };
    },
    confidence: () => {
      const [low, high] = d3.extent(confidence);
      return scaled((point) => confidence[point], low ?? 0, high ?? 1, "confidence");
    },
    rank: () => scaled(Browse.rank, 0, 1, "share of samples that are less confident"),
    origin: () => {
      const roles = ["training", "source", "shift"];
      return named(roles, [NEUTRAL, "#2b8fd6", "#cc5aa0"], (set) => roles.indexOf(Browse.sets[set].role));
    },
    set: () => named(Browse.sets.map((set) => set.name), palette(Browse.sets.length), (set) => set),
    confusion: () => {
      const size = Browse.classes.length, place = new Map(Browse.classes.map((value, at) => [value, at]));
      const shades = (from, to) => d3.range(size).map((at) => d3.color(d3.interpolateLab(from, to)(size > 1 ? at / (size - 1) : 0)).formatHex());
      const names = ["right", "wrong"].flatMap((what) => Browse.classes.map((value) => `${what}, class ${Browse.classText(value)}`));
      const colours = [...shades("#00664f", "#9fdcc4"), ...shades("#8f1d14", "#f7a98f")];
      return named([...names, "not judged"], [...colours, NEUTRAL],
        (_, label, __, what) => what === LEFT_OUT ? 2 * size : (what === FAILURE ? size : 0) + place.get(label));
    },
    class: () => byClass((_, label) => label),
    predicted: () => byClass((_, __, predicted) => predicted, [...Browse.predicted[state.score.classifier], ...state.study.counts[state.score.classifier]?.predicted ?? []]),
  };
  Browse.colouring = () => (modes[state.colour] ?? modes.outcome)();

  // Symbols of classes, of which there are seven; with more classes, the class itself is written. null: no symbols.
  Browse.symbols = () => {
    if (!state.symbols) return null;
    const of = state.symbols === "predicted" ? Browse.predictedOf : (point) => Browse.label[point];
    const values = [...new Set([...Browse.classes, ...Browse.predicted[state.score.classifier]])].sort((a, b) => a - b);
    const place = new Map(values.map((value, at) => [value, at])), few = values.length <= d3.symbolsFill.length;
    return { of: (point) => (few ? d3.symbolsFill[place.get(of(point))] : of(point) < 0 ? "∅" : String(of(point))), keys: few ? values.map((value, at) => [Browse.classText(value), d3.symbolsFill[at]]) : [] };
  };

  // The points that pass the filters; what is drawn last lies on top: failures.
  Browse.visible = () => {
    const found = [[], [], []];
    for (let point = 0; point < count; point++) {
      if (state.sets.has(Browse.set[point]) && state.classes.has(Browse.label[point])) found[outcome[point]].push(point);
    }
    return [...found[LEFT_OUT], ...found[SUCCESS], ...found[FAILURE]];
  };
  // Where a machine is slow, every so many successes; never fewer failures.
  Browse.thinned = (points) => {
    const pinned = new Set(state.pinned);
    return state.every === 1 ? points : points.filter((point) => outcome[point] === FAILURE || pinned.has(point) || point % state.every === 0);
  };
  // Of a study and the score: points by falling confidence, failures or successes.
  Browse.sorted = (study, code) => {
    const values = study.confidence[state.score.name], codes = study.outcome[state.score.classifier];
    if (!values) return [];
    const rows = d3.range(values.length).filter((row) => codes[row] === code);
    return d3.sort(rows, (row) => (code === FAILURE ? -1 : 1) * values[row]).map((row) => ({ point: study.at[row], value: values[row] }));
  };
  Browse.codes = { SUCCESS, FAILURE, LEFT_OUT };
})();
