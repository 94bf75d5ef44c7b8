/** Numbers by layer: a line with what lies around it, one or several in a drawing. */

import { fill, h, svg } from "../../dom.js";
import { short } from "../../numbers.js";
import { layerScale } from "./class_shares.js";
import { axes, margins } from "./plot.js";
import { domainOf, scale } from "./scales.js";
import { onWidth, rem } from "./screen.js";

/**
 * A line; `low` and `high` are around `values`, as a band or as bars. null is left out.
 *
 * @typedef {{name: string, look: string, values: (number|null)[], low: (number|null)[],
 *   high: (number|null)[]}} Line
 */

/** A figure whose lines may grow. */
export class ByLayer {
  /**
   * @param {object} options
   * @param {string} options.title
   * @param {string} options.note below the title: what the bands or bars are, and n
   * @param {string} options.yLabel
   * @param {boolean} [options.hasBars] bars in place of bands
   * @param {AbortSignal} options.signal
   */
  constructor({ title, note, yLabel, hasBars = false, signal }) {
    Object.assign(this, { title, yLabel, hasBars });
    this.drawing = svg("svg", { role: "img" });
    this.note = h("span", { class: "note" }, note);
    this.legend = h("div", { class: "line-legend" });
    this.plot = h("div", { class: "plot" }, this.drawing);
    this.element = h("figure", {},
      h("figcaption", {}, h("strong", {}, title), " ", this.note), this.legend, this.plot);
    onWidth(this.plot, (width) => {
      this.width = width;
      this.paint();
    }, signal);
  }

  /**
   * @param {number[]} layers
   * @param {Line[]} lines
   * @param {{low: (number|null)[], high: (number|null)[]}} [region] shaded behind all
   */
  show(layers, lines, region) {
    Object.assign(this, { layers, lines, region });
    const said = lines.map(({ name, values }) =>
      `${name}: ${values.map((value, i) => `layer ${layers[i]} ${short(value)}`).join(", ")}`);
    this.drawing.setAttribute("aria-label", `${this.title}. ${said.join(". ")}`);
    fill(this.legend, lines.length > 1 && lines.map(({ name, look }) =>
      h("span", {},
        svg("svg", { class: "mark", viewBox: "-1.25 -1.25 2.5 2.5", "aria-hidden": "true" },
          mark(look, 0, 0, 1)), name)));
    this.paint();
  }

  paint() {
    if (!this.lines || !this.width) return;
    const { width, layers, lines, region, drawing } = this;
    const unit = rem();
    const height = Math.round(13 * unit);
    const margin = margins();
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const [right, bottom] = [width - margin.right, height - margin.bottom];
    const all = lines.flatMap(({ values, low, high }) => [...values, ...low, ...high]);
    const known = [...all, ...(region ? [...region.low, ...region.high] : [])].filter(isKnown);
    const nTicks = (bottom - margin.top) / (1.5 * unit);
    const y = scale(domainOf([0, ...known]), [bottom, margin.top], nTicks);
    const x = layerScale(layers, margin.left, right);
    const half = (right - margin.left) / layers.length / 2;
    // A band of one layer has some width too.
    const beyond = layers.length > 1 ? 0 : half / 2;
    fill(drawing,
      region && band(region, (place) => x.at(place), y, "randomness", half),
      axes({ width, height, margin, x, y, xLabel: "layer", yLabel: this.yLabel }),
      svg("line", { class: "zero", x1: margin.left, x2: right, y1: y.at(0), y2: y.at(0) }),
      lines.map((line, nth) => {
        // Lines beside each other, so that their bars do not hide one another.
        const shift = this.hasBars
          ? (nth - (lines.length - 1) / 2) * Math.min(half / 2, 0.5 * unit)
          : 0;
        const at = (place) => x.at(place) + shift;
        return svg("g", { class: `line ${line.look}` },
          this.hasBars ? bars(line, at, y) : band(line, at, y, "around", beyond),
          svg("path", { class: "through", d: through(line.values, at, y) }),
          line.values.map((value, place) => isKnown(value) &&
            svg("g", {}, svg("title", {}, this.words(line, place)),
              mark(line.look, at(place), y.at(value), 0.22 * unit))));
      }));
  }

  words({ name, values, low, high }, place) {
    const around = isKnown(low[place]) ? ` [${short(low[place])}, ${short(high[place])}]` : "";
    return `Layer ${this.layers[place]}: ${name} ${short(values[place])}${around}`;
  }
}

function isKnown(value) {
  return typeof value === "number" && Number.isFinite(value);
}

/** Pieces of a line between layers whose values are known. */
function through(values, at, y) {
  let d = "";
  values.forEach((value, place) => {
    if (!isKnown(value)) return;
    d += `${isKnown(values[place - 1]) ? "L" : "M"}${at(place)},${y.at(value)}`;
  });
  return d;
}

function band({ low, high }, at, y, name, beyond) {
  const last = low.length - 1;
  const places = [...low.keys()].filter((place) => isKnown(low[place]) && isKnown(high[place]));
  if (!places.length) return null;
  const edge = (place) => at(place) + (place === 0 ? -beyond : place === last ? beyond : 0);
  const ends = (place) => (last === 0 ? [at(0) - beyond, at(0) + beyond] : [edge(place)]);
  const upper =
    places.flatMap((place) => ends(place).map((where) => `${where},${y.at(high[place])}`));
  const lower = places.toReversed().flatMap(
    (place) => ends(place).toReversed().map((where) => `${where},${y.at(low[place])}`));
  return svg("polygon", { class: name, points: [...upper, ...lower].join(" ") });
}

function bars({ low, high }, at, y) {
  return low.map((_, place) => isKnown(low[place]) && isKnown(high[place]) &&
    svg("line",
      { class: "bar", x1: at(place), x2: at(place), y1: y.at(low[place]), y2: y.at(high[place]) }));
}

/** Half a circle, from one side to the other. */
function arc(size) {
  const radius = Math.abs(size);
  return `a${radius},${radius} 0 1 0 ${2 * size},0`;
}

function mark(look, x, y, size) {
  const shapes = {
    first: `M${x - size},${y} ${arc(size)} ${arc(-size)} Z`,
    second: `M${x - size},${y - size} h${2 * size} v${2 * size} h${-2 * size} Z`,
  };
  return svg("path", { class: `point ${look}`, d: shapes[look] });
}
