/** What the colours of one list mean, in numbers. */

import { STEPS } from "../../colour.js";
import { h } from "../../dom.js";
import { short } from "../../numbers.js";

/**
 * @param {string} quantity
 * @param {number} limit the end of the scale
 * @param {boolean} hasOdd whether the list holds values that are no finite numbers
 */
export function legend(quantity, limit, hasOdd) {
  const steps = Array.from({ length: 2 * STEPS + 1 }, (_, i) => i - STEPS);
  return h("div", { class: "legend" },
    h("span", {}, quantity),
    limit > 0
      ? [
          h("span", { class: "legend-end" }, short(-limit)),
          h("span", {
            class: "ramp", role: "img",
            "aria-label": "orange below 0, blue above 0, stronger with size",
          },
            steps.map((step) => h("i", { class: `v${step}` }))),
          h("span", { class: "legend-end" }, `+${short(limit)}`),
        ]
      : h("span", { class: "legend-end" }, "is 0 everywhere here"),
    hasOdd &&
      h("span", { class: "legend-end" }, h("i", { class: "odd" }, "no"), " NaN, ∞ or none"));
}
