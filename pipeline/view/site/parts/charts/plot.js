/** Axes, grid, labels and bands of a drawing. */

import { svg } from "../../dom.js";
import { rem } from "./screen.js";

/**
 * Room around a drawing for its labels, in CSS pixels.
 *
 * @param {{left?: number, bottom?: number, top?: number, right?: number}} [rems]
 */
export function margins({ left = 3.6, bottom = 3, top = 2, right = 1.2 } = {}) {
  const unit = rem();
  return { left: left * unit, bottom: bottom * unit, top: top * unit, right: right * unit };
}

/**
 * Grid lines, ticks and labels; the scales are in the coordinates of the whole drawing.
 *
 * @param {object} options
 * @param {number} options.width
 * @param {number} options.height
 * @param {ReturnType<typeof margins>} options.margin
 * @param {import("./scales.js").Scale|null} options.x null: the caller draws its own ticks
 * @param {import("./scales.js").Scale} options.y
 * @param {string} options.xLabel
 * @param {string} options.yLabel
 * @returns {SVGElement} a group
 */
export function axes({ width, height, margin, x, y, xLabel, yLabel }) {
  const unit = rem();
  const bottom = height - margin.bottom;
  const right = width - margin.right;
  const group = svg("g", { class: "axes" });
  for (const tick of y.ticks) {
    const at = Math.round(y.at(tick)) + 0.5;
    group.append(
      svg("line", { class: "grid", x1: margin.left, x2: right, y1: at, y2: at }),
      svg("text", { x: margin.left - 0.4 * unit, y: at, dy: "0.35em", "text-anchor": "end" },
        y.text(tick)),
    );
  }
  for (const tick of x?.ticks ?? []) {
    const at = Math.round(x.at(tick)) + 0.5;
    group.append(
      svg("line", { class: "grid", y1: margin.top, y2: bottom, x1: at, x2: at }),
      svg("text", { x: at, y: bottom + 1.1 * unit, "text-anchor": "middle" }, x.text(tick)),
    );
  }
  group.append(
    svg("path", { class: "axis-line", d: `M${margin.left},${margin.top} V${bottom} H${right}` }),
    // Both labels lie, and reach to the other side where they are long.
    svg("text", { class: "label", x: right, y: height - 0.5 * unit, "text-anchor": "end" }, xLabel),
    svg("text", { class: "label", x: 0.2 * unit, y: 1.1 * unit }, yLabel),
  );
  return group;
}

/**
 * Where the cosines of random vectors lie, over the whole drawing.
 *
 * @param {number} x
 * @param {number} y
 * @param {number} width
 * @param {number} height
 */
export function band(x, y, width, height) {
  const [wide, high] = [Math.max(1, width), Math.max(1, height)];
  return svg("rect", { class: "randomness", x, y, width: wide, height: high });
}
