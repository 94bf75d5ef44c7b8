/** A correlation in words and numbers. */

import { h } from "../dom.js";
import { count, short } from "../numbers.js";

/** `−0.532 [−0.551, −0.512]`. */
export function withInterval(value, low, high) {
  if (value === null) return "none (one of the two is constant)";
  return low === null ? short(value) : `${short(value)} [${short(low)}, ${short(high)}]`;
}

/**
 * Pearson and Spearman with their intervals and n.
 *
 * @param {import("../statistics.js").Correlation} found
 * @param {string} of what is counted, such as "neurons of layer 3"
 */
export function correlationList(found, of) {
  if (found.n < 2) return h("p", { class: "note" }, `No correlation: n = ${count(found.n)}.`);
  return h("dl", { class: "correlation" },
    h("div", {}, h("dt", {}, "Pearson"),
      h("dd", {}, withInterval(found.pearson, found.pearsonLow, found.pearsonHigh))),
    h("div", {}, h("dt", {}, "Spearman"),
      h("dd", {}, withInterval(found.spearman, found.spearmanLow, found.spearmanHigh))),
    h("div", {}, h("dt", {}, "n"), h("dd", {}, `${count(found.n)} ${of}`)));
}
