/** How the numbers of an axis are spread: bars, with the chosen ones before all. */

import { shown, titled } from "../../axes.js";
import { fill, h, svg } from "../../dom.js";
import { count } from "../../numbers.js";
import { finite, histogram, quantiles } from "../../statistics.js";
import { unbroken } from "../note.js";
import { axes, band, margins } from "./plot.js";
import { domainOf, limitsOf, scale } from "./scales.js";
import { onWidth, rem } from "./screen.js";

const N_BINS = 40;

/** The histogram of one axis. */
export class Histogram {
  /** @param {AbortSignal} signal */
  constructor(signal) {
    this.caption = h("figcaption");
    this.drawing = svg("svg", { role: "img" });
    this.plot = h("div", { class: "plot" }, this.drawing);
    this.element = h("figure", { class: "histogram" }, this.caption, this.plot);
    onWidth(this.plot, (width) => {
      this.width = width;
      this.paint();
    }, signal);
  }

  /**
   * @param {object} data
   * @param {import("../../axes.js").Axis} data.axis
   * @param {Float64Array} data.values
   * @param {Uint8Array|null} data.isChosen null: all are
   * @param {[number, number]|null} data.region where the cosines of random vectors lie
   * @param {string|null} data.lack how many neurons have no number, where some have none
   */
  show({ axis, values, isChosen, region, lack }) {
    const all = finite(values);
    const chosen = isChosen ? finite(pick(values, isChosen)) : all;
    const [q1, median, q3] = quantiles(chosen, [0.25, 0.5, 0.75]);
    const [low, high] = domainOf(all, limitsOf(axis.kind));
    const heights = [histogram(all, low, high, N_BINS), histogram(chosen, low, high, N_BINS)];
    const words = chosen.length
      ? `n = ${count(chosen.length)}${isChosen ? ` of ${count(all.length)}` : ""}; median ` +
        `${shown(axis, median)}, middle half ${shown(axis, q1)} to ${shown(axis, q3)}`
      : "n = 0";
    const said = all.length ? [words, lack && `. ${lack}`] : lack;
    const noted = h("span", { class: "note" }, unbroken(said));
    fill(this.caption, h("strong", {}, axis.label), " ", noted);
    this.plot.hidden = !all.length;
    this.drawing.setAttribute("aria-label", `Histogram of ${axis.label}: ${words}`);
    this.data = { axis, low, high, heights, region, isChosen };
    this.paint();
  }

  paint() {
    if (this.data && this.width) draw(this.drawing, this.width, this.data);
  }
}

function pick(values, isChosen) {
  const found = new Float64Array(values.length);
  let n = 0;
  for (let i = 0; i < values.length; i += 1) {
    if (!isChosen[i]) continue;
    found[n] = values[i];
    n += 1;
  }
  return found.subarray(0, n);
}

function draw(drawing, width, { axis, low, high, heights, region, isChosen }) {
  const unit = rem();
  const height = Math.round(12 * unit);
  const margin = margins();
  drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const right = width - margin.right;
  const bottom = height - margin.bottom;
  const x = scale(
    [low, high], [margin.left, right], (right - margin.left) / (4.2 * unit), axis.kind === "share");
  const most = Math.max(1, ...heights[0]);
  const y = scale([0, most], [bottom, margin.top], 4);
  y.ticks = y.ticks.filter(Number.isInteger);
  y.text = (tick) => count(tick);
  const bins = heights.map((counts, of) => [...counts].map((n, bin) => {
    if (!n) return null;
    const [from, to] = [bin, bin + 1].map((edge) => low + ((high - low) * edge) / N_BINS);
    return svg("rect", {
      class: of || !isChosen ? "bin" : "bin all",
      x: x.at(from) + 0.5, width: Math.max(0.5, x.at(to) - x.at(from) - 1),
      y: y.at(n), height: bottom - y.at(n),
    }, svg("title", {}, `${shown(axis, from)} to ${shown(axis, to)}: ${count(n)} neurons`));
  }));
  const [from, to] = (region ?? [0, 0]).map((value) => x.at(Math.max(low, Math.min(high, value))));
  fill(drawing,
    region && to > from && band(from, margin.top, to - from, bottom - margin.top),
    axes({ width, height, margin, x, y, xLabel: titled(axis), yLabel: "neurons" }),
    isChosen ? bins : bins[0]);
}
