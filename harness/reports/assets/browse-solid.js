// Three dimensions: one draw command of regl, a camera that turns around the middle, and where points are on the screen.
"use strict";
Browse.cloud = (regl, canvas, looks) => {
  const camera = {}; // yaw and pitch in radians, zoom as a factor
  const whole = () => Object.assign(camera, { yaw: 0.6, pitch: 0.4, zoom: 1 });
  const rotation = () => {
    const [cy, sy, cp, sp] = [Math.cos(camera.yaw), Math.sin(camera.yaw), Math.cos(camera.pitch), Math.sin(camera.pitch)];
    return [cy, sy * sp, -sy * cp, 0, cp, sp, sy, -cy * sp, cy * cp]; // columns after each other
  };
  const places = regl.buffer(), colours = regl.buffer();
  let count = 0;
  const command = regl({
    vert: `precision mediump float; attribute vec3 place; attribute vec4 colour; uniform mat3 turn; uniform float zoom, size, aspect; varying vec4 shade; varying float across;
      void main() { vec3 p = turn * place * zoom; float depth = 3.2 - p.z; vec2 at = p.xy * 2.6 / depth;
      gl_Position = vec4(aspect > 1. ? at.x / aspect : at.x, aspect > 1. ? at.y : at.y * aspect, -p.z * .2, 1); across = size * 3.2 / depth * (colour.a > 1. ? 2.2 : 1.); gl_PointSize = across; shade = colour; }`,
    frag: `precision mediump float; varying vec4 shade; varying float across;
      void main() { float edge = clamp((.5 - length(gl_PointCoord - .5)) * across + .5, 0., 1.); if (edge < .05) discard; gl_FragColor = vec4(shade.rgb, min(1., shade.a) * edge); }`,
    attributes: { place: places, colour: colours },
    uniforms: { turn: rotation, zoom: () => camera.zoom, size: () => Browse.state.size * devicePixelRatio * 1.3, aspect: ({ viewportWidth, viewportHeight }) => viewportWidth / viewportHeight },
    count: () => count, primitive: "points",
    blend: { enable: true, func: { srcRGB: "src alpha", dstRGB: "one minus src alpha", srcAlpha: 1, dstAlpha: 1 } },
  });
  const fill = (points, colouring, marked) => {
    const { layout, opacity } = Browse.state, table = colouring.colours.map(looks.rgb), ink = looks.ink();
    const place = new Float32Array(3 * points.length), colour = new Float32Array(4 * points.length);
    const chosen = new Set(marked), few = marked.length <= looks.few, others = few ? opacity : opacity / 4;
    points.forEach((point, number) => {
      place.set(layout.solid.subarray(3 * point, 3 * point + 3), 3 * number);
      const own = table[colouring.of(point)];
      colour.set(chosen.has(point) ? [...(few ? ink : own), few ? 2 : 1] : [...own, others], 4 * number);
    });
    count = points.length;
    places(place);
    colours(colour);
  };
  const render = () => {
    regl.poll();
    regl.clear({ color: [...looks.background(), 1], depth: 1 });
    if (count) command();
  };
  // Of a point, as the shader says it: [x, y] in pixels of the canvas.
  const placed = () => {
    const [xx, yx, zx, xy, yy, zy, xz, yz, zz] = rotation();
    const { clientWidth: width, clientHeight: height } = canvas, half = Math.min(width, height) / 2, { zoom } = camera, places = Browse.state.layout.solid;
    return (point) => {
      const at = 3 * point, x = places[at], y = places[at + 1], z = places[at + 2];
      const scale = (2.6 * zoom * half) / (3.2 - zoom * (zx * x + zy * y + zz * z));
      return [width / 2 + scale * (xx * x + xy * y + xz * z), height / 2 - scale * (yx * x + yy * y + yz * z)];
    };
  };
  const turn = (yaw, pitch) => {
    camera.yaw += yaw;
    camera.pitch = Math.max(-1.5, Math.min(1.5, camera.pitch + pitch));
  };
  const zoom = (by) => { camera.zoom = Math.min(12, Math.max(0.3, camera.zoom * by)); };
  whole();
  return { fill, render, placed, turn, zoom, whole };
};
