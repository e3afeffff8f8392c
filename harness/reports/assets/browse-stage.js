// Draws the points: regl-scatterplot in two dimensions, one draw command of regl in three.
"use strict";
(() => {
  const stage = document.getElementById("stage"), flat = document.getElementById("flat"), solid = document.getElementById("solid");
  const still = document.getElementById("still");
  const events = { hover: () => {}, click: () => {}, lasso: () => {} };
  const SYMBOLS = 1500; // drawn at once, failures before others
  const FEW = 10; // points up to which marked ones get the colour of the text; more stay coloured, and the rest fades
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
    document.getElementById("symbols").disabled = true;
    Browse.stage = { events, draw: () => {}, mark: () => {}, whole: () => {}, frame: () => {}, lasso: () => {}, works: false };
    return;
  }
  still.classList.add("print");

  const colours = () => ({ backgroundColor: d3.rgb(background()).formatHex(), pointColorActive: d3.rgb(ink()).formatHex(), pointColorHover: d3.rgb(ink()).formatHex(), lassoColor: d3.rgb(ink()).formatHex() });
  const plot = createScatterplot.default({
    canvas: flat, width: stage.clientWidth, height: stage.clientHeight, ...colours(), showReticle: false, pointSizeSelected: 3,
    pointOutlineWidth: 2, deselectOnDblClick: false, deselectOnEscape: false, lassoOnLongPress: false,
  });
  let lassoing = false;
  plot.subscribe("pointover", (number) => events.hover(shown[number]));
  plot.subscribe("pointout", () => events.hover(null));
  plot.subscribe("lassoStart", () => { lassoing = true; });
  plot.subscribe("select", ({ points }) => {
    const found = points.map((number) => shown[number]);
    if (lassoing || found.length > 1) events.lasso(found); else if (found.length) events.click(found[0]);
    lassoing = false;
  });
  plot.subscribe("lassoEnd", () => setTimeout(() => { lassoing = false; }, 0));

  // Three dimensions: yaw and pitch in radians, zoom as a factor.
  const camera = { yaw: 0.6, pitch: 0.4, zoom: 1 };
  let regl, drawSolid, buffers, marked = [];
  const rotation = () => {
    const [cy, sy, cp, sp] = [Math.cos(camera.yaw), Math.sin(camera.yaw), Math.cos(camera.pitch), Math.sin(camera.pitch)];
    return [cy, sy * sp, -sy * cp, 0, cp, sp, sy, -cy * sp, cy * cp]; // columns after each other
  };
  const startSolid = () => {
    regl = createREGL({ canvas: solid, attributes: { alpha: false, antialias: true } });
    drawSolid = regl({
      vert: `precision mediump float; attribute vec3 place; attribute vec4 colour; uniform mat3 turn; uniform float zoom, size, aspect; varying vec4 shade;
        void main() { vec3 p = turn * place * zoom; float depth = 3.2 - p.z; vec2 at = p.xy * 2.6 / depth;
        gl_Position = vec4(aspect > 1. ? at.x / aspect : at.x, aspect > 1. ? at.y : at.y * aspect, -p.z * .2, 1); gl_PointSize = size * 3.2 / depth * (colour.a > 1. ? 2.2 : 1.); shade = colour; }`,
      frag: `precision mediump float; varying vec4 shade; void main() { if (length(gl_PointCoord - .5) > .5) discard; gl_FragColor = vec4(shade.rgb, min(1., shade.a)); }`,
      attributes: { place: () => buffers.place, colour: () => buffers.colour },
      uniforms: { turn: rotation, zoom: () => camera.zoom, size: () => Browse.state.size * devicePixelRatio * 1.3, aspect: ({ viewportWidth, viewportHeight }) => viewportWidth / viewportHeight },
      count: () => shown.length, primitive: "points",
      blend: { enable: true, func: { srcRGB: "src alpha", dstRGB: "one minus src alpha", srcAlpha: 1, dstAlpha: 1 } },
    });
  };
  const renderSolid = () => {
    if (!regl || !buffers) return;
    regl.poll();
    regl.clear({ color: [...rgb(background()), 1], depth: 1 });
    if (shown.length) drawSolid();
    symbols();
  };
  // Where a point of the cloud is on the screen, as the shader says it.
  const projected = (point) => {
    const turn = rotation(), at = Browse.state.layout.solid.subarray(3 * point, 3 * point + 3);
    const [x, y, z] = [0, 1, 2].map((row) => camera.zoom * (turn[row] * at[0] + turn[3 + row] * at[1] + turn[6 + row] * at[2]));
    const scale = 2.6 / (3.2 - z), width = stage.clientWidth, height = stage.clientHeight, half = Math.min(width, height) / 2;
    return [width / 2 + x * scale * half, height / 2 - y * scale * half, z];
  };
  const nearest = ({ offsetX, offsetY }) => {
    let found = null, best = 10;
    for (const point of shown) {
      const [x, y] = projected(point), distance = Math.hypot(x - offsetX, y - offsetY);
      if (distance < best) [found, best] = [point, distance];
    }
    return found;
  };
  // Symbols lie above the points, on a canvas of their own; while the camera moves they follow it.
  const glyphs = document.getElementById("glyphs"), pen = glyphs.getContext("2d"), note = document.getElementById("symbols-drawn");
  let colouring = null, due = false;
  // Where a point is on the screen: in two dimensions by the view of regl-scatterplot's camera, columns after each other.
  const placed = () => {
    if (Browse.state.solid) return projected;
    const view = plot.get("cameraView"), flat = Browse.state.layout.flat, { clientWidth: width, clientHeight: height } = stage;
    return (point) => {
      const [x, y] = [flat[2 * point], flat[2 * point + 1]];
      return [(width + height * (view[0] * x + view[4] * y + view[12])) / 2, (height * (1 - view[1] * x - view[5] * y - view[13])) / 2];
    };
  };
  const drawSymbols = () => {
    due = false;
    const { clientWidth: width, clientHeight: height } = stage, of = Browse.symbols();
    [glyphs.width, glyphs.height] = [width * devicePixelRatio, height * devicePixelRatio];
    Browse.symbolsDrawn = 0;
    note.textContent = "";
    if (!of || !colouring) return;
    pen.scale(devicePixelRatio, devicePixelRatio);
    Object.assign(pen, { strokeStyle: background(), lineWidth: 1, textAlign: "center", textBaseline: "middle", font: `600 ${6 + 1.5 * Browse.state.size}px system-ui, sans-serif` });
    const area = 12 * Browse.state.size ** 1.5 + 10, fills = colouring.colours;
    const inside = [[], []];
    const place = placed();
    shown.forEach((point, number) => {
      const [x, y] = place(point);
      if (x >= 0 && y >= 0 && x <= width && y <= height) inside[Number(Browse.outcome[point] === Browse.codes.FAILURE)].push([number, x, y]);
    });
    const some = (entries, most) => entries.filter((_, at) => Math.floor((at * most) / entries.length) !== Math.floor(((at - 1) * most) / entries.length) || entries.length <= most);
    const failures = some(inside[1], SYMBOLS), drawn = [...some(inside[0], SYMBOLS - failures.length), ...failures], count = inside[0].length + inside[1].length;
    note.textContent = drawn.length < count ? `Symbols of ${drawn.length.toLocaleString("en")} of ${count.toLocaleString("en")} points in sight, failures before others: zoom in for the rest.` : "";
    for (const [number, x, y] of drawn) {
      const what = of.of(shown[number]);
      pen.fillStyle = fills[colouring.of(shown[number])];
      pen.save();
      pen.translate(x, y);
      if (typeof what === "string") { pen.lineWidth = 3; pen.strokeText(what, 0, 0); pen.fillText(what, 0, 0); } else { pen.beginPath(); d3.symbol(what, area).context(pen)(); pen.fill(); pen.stroke(); }
      pen.restore();
    }
    Browse.symbolsDrawn = drawn.length;
  };
  const symbols = () => {
    if (due || (!Browse.state.symbols && !Browse.symbolsDrawn)) return;
    due = true;
    requestAnimationFrame(drawSymbols);
  };
  plot.subscribe("view", symbols);

  let drag = null;
  solid.addEventListener("pointerdown", (event) => { drag = { x: event.clientX, y: event.clientY, moved: false }; solid.setPointerCapture(event.pointerId); });
  solid.addEventListener("pointermove", (event) => {
    if (!drag) { events.hover(nearest(event)); return; }
    const [dx, dy] = [event.clientX - drag.x, event.clientY - drag.y];
    drag = { x: event.clientX, y: event.clientY, moved: drag.moved || Math.hypot(dx, dy) > 2 };
    turn(dx * 0.01, dy * 0.01);
  });
  solid.addEventListener("pointerup", (event) => {
    if (drag && !drag.moved) { const point = nearest(event); if (point !== null) events.click(point); }
    drag = null;
  });
  solid.addEventListener("wheel", (event) => {
    event.preventDefault();
    camera.zoom = Math.min(12, Math.max(0.3, camera.zoom * Math.exp(-event.deltaY * 0.001)));
    renderSolid();
  }, { passive: false });
  const turn = (yaw, pitch) => {
    camera.yaw += yaw;
    camera.pitch = Math.max(-1.5, Math.min(1.5, camera.pitch + pitch));
    renderSolid();
  };

  const fit = () => {
    const { clientWidth: width, clientHeight: height } = stage;
    if (!width || !height) return;
    plot.set({ width, height });
    solid.width = width * devicePixelRatio;
    solid.height = height * devicePixelRatio;
    renderSolid();
    symbols();
  };
  new ResizeObserver(fit).observe(stage);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { plot.set(colours()); renderSolid(); });

  const draw = async (points, coloured) => {
    shown = points;
    colouring = coloured;
    numberOf = new Map(points.map((point, number) => [point, number]));
    const { layout, size, opacity, solid: three } = Browse.state;
    flat.hidden = three;
    solid.hidden = !three;
    if (three) {
      if (!regl) startSolid();
      const places = new Float32Array(3 * points.length), colour = new Float32Array(4 * points.length), table = colouring.colours.map(rgb);
      const chosen = new Set(marked), few = marked.length <= FEW, others = few ? opacity : opacity / 4;
      points.forEach((point, number) => {
        places.set(layout.solid.subarray(3 * point, 3 * point + 3), 3 * number);
        const own = table[colouring.of(point)];
        colour.set(chosen.has(point) ? [...(few ? rgb(ink()) : own), few ? 2 : 1] : [...own, others], 4 * number);
      });
      buffers?.place.destroy();
      buffers?.colour.destroy();
      buffers = { place: regl.buffer(places), colour: regl.buffer(colour) };
      fit();
      return;
    }
    const columns = { x: new Float32Array(points.length), y: new Float32Array(points.length), z: new Float32Array(points.length) };
    points.forEach((point, number) => {
      columns.x[number] = layout.flat[2 * point];
      columns.y[number] = layout.flat[2 * point + 1];
      columns.z[number] = colouring.of(point);
    });
    symbols();
    await put(columns, { pointColor: colouring.colours, colorBy: "valueA", pointSize: size, opacity });
  };
  // One picture at a time: of those asked for meanwhile, the last follows.
  let busy = false, waiting = null;
  const put = async (columns, looks) => {
    if (busy) { waiting = [columns, looks]; return; }
    busy = true;
    plot.set(looks);
    if (columns.x.length) await plot.draw(columns, { zDataType: "categorical" }); else plot.clear();
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
    whole: () => { Object.assign(camera, { yaw: 0.6, pitch: 0.4, zoom: 1 }); plot.reset(); renderSolid(); },
    frame: () => { if (Browse.state.solid) turn(0.02, 0); else plot.redraw(); },
    lasso: (on) => plot.set({ mouseMode: on ? "lasso" : "panZoom" }),
  };
})();
