/** The head of a layer's page: which one it is, its neighbours, and a choice of all. */

import { h } from "../../dom.js";
import { count } from "../../numbers.js";

/**
 * @param {object} context what a page is given (app.js)
 * @param {number} layer
 */
export function layerLinks({ dataset, link, params }, layer) {
  const place = dataset.layers.indexOf(layer);
  // The axes and the choice of classes go with it; ranges and neurons are this layer's own.
  const kept = Object.fromEntries(["x", "y", "class", "sort"].map((key) => [key, params.get(key)]));
  const to = (one) => link(`layer/${one}`, kept);
  const neighbour = (one, text, rel) =>
    one === undefined ? h("span", { class: "note" }, text)
      : h("a", { href: to(one), rel, title: `Layer ${one}` }, text);
  const select = h("select", {
    "aria-label": "Layer",
    onchange: () => {
      location.hash = to(select.value);
    },
  }, dataset.layers.map((one) =>
    h("option", { value: one, selected: one === layer }, `Layer ${one}`)));
  return h("div", { class: "layer-head" },
    h("h1", { tabindex: "-1" }, `Layer ${layer}`),
    h("p", { class: "note" },
      `${count(dataset.nNeurons(layer))} neurons of ${dataset.modelName}`),
    h("nav", { class: "controls", "aria-label": "Layers" },
      neighbour(dataset.layers[place - 1], "← Previous", "prev"), select,
      neighbour(dataset.layers[place + 1], "Next →", "next")));
}
