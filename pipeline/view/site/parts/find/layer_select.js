/** One layer or all of them. */

import { h } from "../../dom.js";

/**
 * @param {import("../../data/dataset.js").Dataset} dataset
 * @param {string|null} chosen
 * @param {string} id
 * @returns {HTMLSelectElement} whose value is a layer, or empty for all
 */
export function layerSelect({ layers }, chosen, id) {
  return h("select", { id },
    h("option", { value: "" }, "all layers"),
    layers.map((layer) =>
      h("option", { value: layer, selected: String(layer) === chosen }, `layer ${layer}`)));
}
