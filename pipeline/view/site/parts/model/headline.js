/** Do neurons that write against what they read have a positive gate more often? */

import { fill, h } from "../../dom.js";
import { count } from "../../numbers.js";
import { ByLayer } from "../charts/by_layer.js";
import { correlationList, withInterval } from "../correlations.js";
import { wideTable } from "../tables/wide.js";

const LINES = [
  ["Pearson", "pearson", "first"],
  ["Spearman", "spearman", "second"],
];

/**
 * The correlation of cos(w_in, w_out) and gate-positive frequency, over all neurons and by layer.
 *
 * @param {object} context what a page is given (app.js)
 * @param {ReturnType<import("../../data/survey.js").surveyOf>} survey
 * @returns {HTMLElement}
 */
export function headline({ link, signal }, { run, findings }) {
  const figure = new ByLayer({
    title: "By layer", note: "bars: 95% intervals", yLabel: "correlation", hasBars: true, signal,
  });
  const all = h("div");
  const table = h("div");
  let nPooled = 0;
  const paint = () => {
    const n = findings.layers.length;
    if (!n) return;
    const layers = [...findings.correlations.keys()].sort((a, b) => a - b);
    const found = layers.map((layer) => findings.correlations.get(layer));
    figure.show(layers, LINES.map(([name, key, look]) => ({
      name, look,
      values: found.map((one) => one[key]),
      low: found.map((one) => one[`${key}Low`]),
      high: found.map((one) => one[`${key}High`]),
    })));
    fill(table,
      wideTable("Correlation of cos(w_in, w_out) and the frequency of gate > 0 by layer",
        ["Layer", "Pearson", "Spearman", "Neurons"],
      found.map((one, i) => [
        h("a", { href: link(`layer/${layers[i]}`) }, layers[i]),
        withInterval(one.pearson, one.pearsonLow, one.pearsonHigh),
        withInterval(one.spearman, one.spearmanLow, one.spearmanHigh), count(one.n),
      ])));
    // Over all neurons it takes a while: not after each layer.
    if (n === nPooled || (run.state === "running" && Math.log2(n) % 1)) return;
    nPooled = n;
    const part = `Neurons of ${count(n)} of ${count(run.layers.length)} layers`;
    fill(all,
      h("h3", {}, n === run.layers.length ? "All neurons" : part),
      correlationList(findings.pooled(), "neurons"),
      h("p", { class: "note" }, "In brackets: 95% intervals."));
  };
  run.listen(paint, signal);
  paint();
  return h("div", { class: "headline" },
    h("p", {},
      "Correlation of cos(w_in, w_out) with the share of the tokens where gate > 0: below zero, ",
      "neurons that take away what they read have a positive gate more often than those that add ",
      "to it."),
    h("div", { class: "beside" }, all, figure.element),
    h("details", {}, h("summary", {}, "As a table"), table));
}
