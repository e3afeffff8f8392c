// Draws the points, once a frame at most and only where something has changed: regl-scatterplot in two dimensions, one draw
// command of regl in three, both on the same canvas; above it symbols, and what is pointed at.
"use strict";
(() => {
  const find = (id) => document.getElementById(id);
  const [stage, points, flat, solid, still, glyphs, note] = ["stage", "points", "flat", "solid", "still", "glyphs", "symbols-drawn"].map(find);
  const events = { hover: () => {}, click: () => {}, lasso: () => {} };
  const SYMBOLS = 1500; // drawn at once, failures before others
  const MOVING = 300; // the same while the picture moves
  const REST = 150; // ms after which it no longer does
  const FEW = 10; // points up to which marked ones get the colour of the text; more stay coloured, and the rest fades
  const NEAR = 10; // pixels around a point in which it is pointed at
  const TRANSPARENT = { color: [0, 0, 0, 0], depth: 1 };
  let shown = []; // number of what is drawn -> point
  let numberOf = new Map();
  const rgb = (colour) => { const { r, g, b } = d3.rgb(colour); return [r / 255, g / 255, b / 255]; };
  const background = () => getComputedStyle(document.body).backgroundColor;
  const ink = () => getComputedStyle(document.body).color;

  const hasWebGL = (() => {
    try { return Boolean(document.createElement("canvas").getContext("webgl")); } catch { return false; }
  })();
  if (!hasWebGL) {
    flat.hidden = true;
    find("symbols").disabled = true;
    Browse.stage = { events, draw: () => {}, mark: () => {}, whole: () => {}, frame: () => {}, lasso: () => {}, works: false };
    return;
  }
  still.classList.add("print");

  // What regl-scatterplot draws with. Its own renderer fills buffers of the window's size and copies them onto the canvas,
  // which costs more than the points where there is no graphics card: here they are drawn where they are seen.
  const regl = createREGL({ canvas: points, attributes: { antialias: false }, extensions: ["OES_texture_float", "OES_element_index_uint"], optionalExtensions: ["WEBGL_color_buffer_float", "EXT_float_blend"] });
  points.addEventListener("webglcontextlost", () => still.classList.remove("print"));
  const frames = new Set();
  regl.frame(() => frames.forEach((frame) => frame()));
  const renderer = {
    canvas: points, regl, gamma: 1, isSupported: true, isDestroyed: false, refresh: () => regl.poll(), resize: () => {}, destroy: () => {},
    onFrame: (frame) => { frames.add(frame); return () => frames.delete(frame); },
    render: (picture) => { if (!Browse.state.solid) { regl.clear(TRANSPARENT); picture(); } },
  };
  const colours = () => ({ backgroundColor: d3.rgb(background()).formatHex(), pointColorActive: d3.rgb(ink()).formatHex(), pointColorHover: d3.rgb(ink()).formatHex(), lassoColor: d3.rgb(ink()).formatHex() });
  const plot = createScatterplot.default({
    canvas: flat, renderer, width: stage.clientWidth, height: stage.clientHeight, ...colours(), showReticle: false, pointSizeSelected: 3,
    pointOutlineWidth: 2, deselectOnDblClick: false, deselectOnEscape: false, lassoOnLongPress: false,
  });
  const cloud = Browse.cloud(regl, stage, { rgb, ink: () => rgb(ink()), background: () => rgb(background()), few: FEW });

  // What is to be done with the next frame: `solid` draws the cloud, `symbols` the symbols, `hover` looks for a point.
  const due = new Map();
  const soon = (name, work) => {
    if (!due.size) requestAnimationFrame(() => { const all = [...due.values()]; due.clear(); all.forEach((each) => each()); });
    due.set(name, work);
  };
  // While the picture moves, by a drag or by the wheel, nothing is looked for below the mouse, and there are few symbols.
  let pressed = false, moving = false, resting = 0;
  const moves = () => {
    moving = true;
    clearTimeout(resting);
    resting = setTimeout(() => { moving = false; symbols(); }, REST);
  };

  let lassoing = false;
  plot.subscribe("pointover", (number) => { if (!pressed) events.hover(shown[number]); });
  plot.subscribe("lassoStart", () => { lassoing = true; });
  plot.subscribe("select", ({ points }) => {
    const found = points.map((number) => shown[number]);
    if (lassoing || found.length > 1) events.lasso(found); else if (found.length) events.click(found[0]);
    lassoing = false;
  });
  plot.subscribe("lassoEnd", () => setTimeout(() => { lassoing = false; }, 0));
  plot.subscribe("view", () => { moves(); symbols(); });
  flat.addEventListener("pointerdown", () => { pressed = true; });
  addEventListener("pointerup", () => { pressed = false; });

  const renderSolid = () => soon("solid", () => { if (Browse.state.solid) cloud.render(); });
  const turned = () => { moves(); renderSolid(); symbols(); };
  const turn = (yaw, pitch) => { cloud.turn(yaw, pitch); turned(); };
  const nearest = ({ offsetX, offsetY }) => {
    const place = cloud.placed();
    let found = null, best = NEAR;
    for (const point of shown) {
      const [x, y] = place(point), distance = Math.hypot(x - offsetX, y - offsetY);
      if (distance < best) [found, best] = [point, distance];
    }
    return found;
  };

  // The mouse in three dimensions: it turns, or draws a lasso, which takes what lies behind, too.
  let drag = null, lassoMode = false;
  solid.addEventListener("pointerdown", (event) => {
    const { clientX: x, clientY: y, offsetX, offsetY } = event;
    drag = { x, y, moved: false, lasso: lassoMode || event.shiftKey ? [[offsetX, offsetY]] : null };
    solid.setPointerCapture(event.pointerId);
  });
  solid.addEventListener("pointermove", (event) => {
    if (!drag) { soon("hover", () => { if (!moving) events.hover(nearest(event)); }); return; }
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    Object.assign(drag, { x: event.clientX, y: event.clientY, moved: drag.moved || Math.hypot(dx, dy) > 2 });
    if (drag.lasso) { drag.lasso.push([event.offsetX, event.offsetY]); symbols(); } else turn(dx * 0.01, dy * 0.01);
  });
  solid.addEventListener("pointerup", (event) => {
    const { moved, lasso } = drag ?? {}, point = drag && !moved ? nearest(event) : null;
    drag = null;
    if (lasso && moved) {
      const place = cloud.placed();
      events.lasso(shown.filter((each) => d3.polygonContains(lasso, place(each))));
      symbols();
    } else if (point !== null) events.click(point);
  });
  solid.addEventListener("pointercancel", () => { drag = null; symbols(); });
  solid.addEventListener("wheel", (event) => {
    event.preventDefault();
    cloud.zoom(Math.exp(-event.deltaY * 0.001));
    turned();
  }, { passive: false });

  // Symbols lie above the points, on a canvas of their own; while the camera moves they follow it. Paths are drawn without
  // Path2D, of which Chromium leaves some on a canvas that is cleared.
  const pen = glyphs.getContext("2d");
  let colouring = null;
  // Where a point is on the screen: in two dimensions by the view of regl-scatterplot's camera, columns after each other.
  const placed = () => {
    if (Browse.state.solid) return cloud.placed();
    const view = plot.get("cameraView"), flat = Browse.state.layout.flat, { clientWidth: width, clientHeight: height } = stage;
    return (point) => {
      const [x, y] = [flat[2 * point], flat[2 * point + 1]];
      return [(width + height * (view[0] * x + view[4] * y + view[12])) / 2, (height * (1 - view[1] * x - view[5] * y - view[13])) / 2];
    };
  };
  const drawSymbols = () => {
    const { clientWidth: width, clientHeight: height } = stage, of = Browse.symbols(), most = moving ? MOVING : SYMBOLS;
    Browse.symbolsDrawn = 0;
    pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    pen.clearRect(0, 0, width, height);
    if (drag?.lasso) drawLasso(drag.lasso);
    if (!of || !colouring) { note.textContent = ""; return; }
    Object.assign(pen, { strokeStyle: background(), lineWidth: 1, textAlign: "center", textBaseline: "middle", font: `600 ${6 + 1.5 * Browse.state.size}px system-ui, sans-serif` });
    const area = 12 * Browse.state.size ** 1.5 + 10, fills = colouring.colours, path = d3.symbol().size(area).context(pen);
    const inside = [[], []];
    const place = placed();
    shown.forEach((point, number) => {
      const [x, y] = place(point);
      if (x >= 0 && y >= 0 && x <= width && y <= height) inside[Number(Browse.outcome[point] === Browse.codes.FAILURE)].push([number, x, y]);
    });
    const some = (entries, room) => entries.filter((_, at) => Math.floor((at * room) / entries.length) !== Math.floor(((at - 1) * room) / entries.length) || entries.length <= room);
    const failures = some(inside[1], most), drawn = [...some(inside[0], most - failures.length), ...failures], count = inside[0].length + inside[1].length;
    if (!moving) note.textContent = drawn.length < count ? `Symbols of ${drawn.length.toLocaleString("en")} of ${count.toLocaleString("en")} points in sight, failures before others: zoom in for the rest.` : "";
    for (const [number, x, y] of drawn) {
      const what = of.of(shown[number]);
      pen.fillStyle = fills[colouring.of(shown[number])];
      pen.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, x * devicePixelRatio, y * devicePixelRatio);
      if (typeof what === "string") { pen.lineWidth = 3; pen.strokeText(what, 0, 0); pen.fillText(what, 0, 0); } else { pen.beginPath(); path.type(what)(); pen.fill(); pen.stroke(); }
    }
    Browse.symbolsDrawn = drawn.length;
  };
  const drawLasso = (line) => {
    pen.strokeStyle = ink();
    pen.beginPath();
    d3.line().curve(d3.curveLinearClosed).context(pen)(line);
    pen.stroke();
  };
  const symbols = () => { if (Browse.state.symbols || Browse.symbolsDrawn || Browse.state.solid) soon("symbols", drawSymbols); };

  const fit = () => {
    const { clientWidth: width, clientHeight: height } = stage;
    if (!width || !height) return;
    for (const canvas of [points, glyphs]) Object.assign(canvas, { width: Math.floor(width * devicePixelRatio), height: Math.floor(height * devicePixelRatio) });
    regl.poll();
    plot.set({ width, height });
    renderSolid();
    symbols();
  };
  new ResizeObserver(fit).observe(stage);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { plot.set(colours()); renderSolid(); });

  let drawnIn = null; // the layout of `shown`
  const draw = async (drawn, coloured) => {
    const { layout, size, opacity, solid: three } = Browse.state;
    const same = layout === drawnIn && drawn.length === shown.length && drawn.every((point, number) => point === shown[number]);
    shown = drawn;
    drawnIn = layout;
    colouring = coloured;
    numberOf = new Map(drawn.map((point, number) => [point, number]));
    flat.hidden = three;
    solid.hidden = !three;
    symbols();
    if (three) {
      indexed = false;
      cloud.fill(shown, coloured, marked);
      renderSolid();
      return;
    }
    const columns = { x: new Float32Array(drawn.length), y: new Float32Array(drawn.length), z: new Float32Array(drawn.length) };
    drawn.forEach((point, number) => {
      columns.x[number] = layout.flat[2 * point];
      columns.y[number] = layout.flat[2 * point + 1];
      columns.z[number] = colouring.of(point);
    });
    if (!same) indexed = false;
    await put(columns, { pointColor: colouring.colours, colorBy: "valueA", pointSize: size, opacity });
  };
  // One picture at a time: of those asked for meanwhile, the last follows. Where the points lie as before, with other colours,
  // the index by which they are found is kept.
  let busy = false, waiting = null, indexed = false, marked = [];
  const put = async (columns, looks) => {
    if (busy) { waiting = [columns, looks]; return; }
    busy = true;
    plot.set(looks);
    const kept = indexed ? plot.get("spatialIndex") : undefined;
    indexed = true;
    if (columns.x.length) await plot.draw(columns, { zDataType: "categorical", spatialIndex: kept }); else plot.clear();
    busy = false;
    if (!waiting) { mark(marked); return; }
    const next = waiting;
    waiting = null;
    await put(...next);
  };
  const mark = (points) => {
    marked = points;
    if (Browse.state.solid || busy) return;
    const numbers = points.map((point) => numberOf.get(point)).filter((number) => number !== undefined);
    if (numbers.length) plot.select(numbers, { preventEvent: true }); else plot.deselect({ preventEvent: true });
  };
  Browse.stage = {
    events, draw, mark, turn, works: true,
    whole: () => { cloud.whole(); plot.reset(); renderSolid(); symbols(); },
    frame: () => { if (Browse.state.solid) turn(0.02, 0); else plot.redraw(); },
    lasso: (on) => { lassoMode = on; plot.set({ mouseMode: on ? "lasso" : "panZoom" }); },
  };
})();
