/** Classes by layer: a stacked bar for each layer, which leads to it. */

import { fill, h, svg } from "../../dom.js";
import { count, percent } from "../../numbers.js";
import { CLASS_ORDER, lookOf } from "../classes.js";
import { axes, margins } from "./plot.js";
import { scale } from "./scales.js";
import { onWidth, rem } from "./screen.js";

const ORTHOGONAL = "orthogonal output";
// Where the largest share of the others is below this, they are shown by themselves as well.
const FEW = 0.4;

/** The column of `layers` that counts a class. @param {string} name */
export function classColumn(name) {
  return `n_${name.replaceAll(" ", "_")}`;
}

/** Neurons of a class in a row of `layers`. @param {object} row @param {string} name */
export function nOfClass(row, name) {
  return row[classColumn(name)] ?? 0;
}

/** The classes that occur in rows of `layers`. @param {object[]} rows */
export function classesIn(rows) {
  return CLASS_ORDER.filter((name) => rows.some((row) => nOfClass(row, name) > 0));
}

/**
 * @param {object} options
 * @param {object[]} options.rows of `layers`
 * @param {(layer: number) => string} options.link
 * @param {AbortSignal} options.signal
 * @returns {HTMLElement[]} figures: of all classes, and of those other than orthogonal output where
 *   these are few
 */
export function classShares({ rows, link, signal }) {
  const classes = classesIn(rows);
  const others = classes.filter((name) => name !== ORTHOGONAL);
  const most = Math.max(0, ...rows.map((row) => shareOf(row, others)));
  const figures = [stack({ title: "All classes", rows, classes, most: 1, link, signal })];
  if (most > 0 && most < FEW) {
    const title = "Without orthogonal output";
    figures.push(stack({ title, rows, classes: others, most, link: null, signal }));
  }
  return figures;
}

function shareOf(row, classes) {
  return row.n_neurons
    ? classes.reduce((sum, name) => sum + nOfClass(row, name), 0) / row.n_neurons
    : 0;
}

function words(row, classes) {
  const parts = classes.filter((name) => nOfClass(row, name)).map((name) =>
    `${name} ${percent(nOfClass(row, name) / row.n_neurons)}`);
  return `Layer ${row.layer}: ${parts.join(", ") || "no neurons"}`;
}

function stack({ title, rows, classes, most, link, signal }) {
  const label = `${title} by layer, as shares of the layer's neurons`;
  // What leads somewhere is no picture to a screen reader.
  const drawing = svg("svg", { role: link ? "group" : "img", "aria-label": label });
  const plot = h("div", { class: "plot" }, drawing);
  onWidth(plot, (width) => draw(drawing, width, { rows, classes, most, link }), signal);
  const n = rows.reduce((sum, row) => sum + row.n_neurons, 0);
  return h("figure", {},
    h("figcaption", {}, h("strong", {}, title), " ",
      h("span", { class: "note" }, `n = ${count(n)} neurons`)), plot);
}

function draw(drawing, width, { rows, classes, most, link }) {
  const unit = rem();
  const height = Math.round(15 * unit);
  const margin = margins();
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const [right, bottom] = [width - margin.right, height - margin.bottom];
  const y = scale([0, most], [bottom, margin.top], 5, true);
  const step = (right - margin.left) / rows.length;
  const thick = Math.min(step * 0.82, 3 * unit);
  const x = layerScale(rows.map(({ layer }) => layer), margin.left, right);
  fill(drawing,
    svg("defs", {},
      classes.filter((name) => lookOf(name).isHollow).map((name) => hatch(name, unit))),
    axes({ width, height, margin, x, y, xLabel: "layer", yLabel: "share of the layer's neurons" }),
    rows.map((row, place) => {
      const left = x.at(place) - thick / 2;
      let below = bottom;
      const parts = classes.map((name) => {
        const high = row.n_neurons ? y.at(0) - y.at(nOfClass(row, name) / row.n_neurons) : 0;
        below -= high;
        if (!high) return null;
        const part = svg("rect", { x: left, y: below, width: thick, height: high });
        const { isHollow, colour } = lookOf(name);
        part.style.setProperty("fill", isHollow ? `url(#${idOf(name)})` : `var(${colour})`);
        return part;
      });
      const said = words(row, classes);
      if (!link) return svg("g", {}, svg("title", {}, said), parts);
      return svg("a", { href: link(row.layer), "aria-label": said, class: "bar-link" },
        svg("title", {}, said),
        // All of the layer's strip leads to it.
        svg("rect", {
          class: "strip", x: x.at(place) - step / 2, y: margin.top,
          width: step, height: bottom - margin.top,
        }),
        parts);
    }));
}

/**
 * Layers side by side, each at its place in the list; ticks where they have room.
 *
 * @param {number[]} layers
 * @param {number} left
 * @param {number} right
 */
export function layerScale(layers, left, right) {
  const step = (right - left) / layers.length;
  const every = Math.max(1, Math.ceil((2.4 * rem()) / step));
  const whole = [1, 2, 4, 5, 8, 10, 16, 20, 50, 100].find((one) => one >= every) ?? every;
  return {
    ticks: layers.map((_, place) => place).filter((place) => place % whole === 0),
    at: (place) => left + (place + 0.5) * step,
    text: (place) => String(layers[place]),
  };
}

function idOf(name) {
  return `hatch-${name.replaceAll(" ", "-")}`;
}

/** The stripes of an atypical class, in the colour of its typical one. */
function hatch(name, unit) {
  const side = 0.4 * unit;
  const ground = svg("rect", { width: side, height: side });
  ground.style.setProperty("fill", `var(${lookOf(name).colour})`);
  const stripe = svg("rect", { width: side * 0.45, height: side });
  stripe.style.setProperty("fill", "var(--ground)");
  return svg("pattern", {
    id: idOf(name), width: side, height: side, patternUnits: "userSpaceOnUse",
    patternTransform: "rotate(45)",
  }, ground, stripe);
}
