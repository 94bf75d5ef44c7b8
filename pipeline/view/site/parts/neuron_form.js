/** A field for the number of a neuron, which leads to its page. */

import { ReadError } from "../data/errors.js";
import { namedNeuron, requireNeuron } from "../data/neuron_reading.js";
import { fill, h } from "../dom.js";

/**
 * @param {object} context what a page is given (app.js)
 * @param {{id: string, label: string}} options of the field
 * @returns {HTMLElement} a form
 */
export function neuronForm({ dataset, link }, { id, label }) {
  const input = h("input", {
    id, type: "text", inputmode: "decimal", autocomplete: "off", spellcheck: "false", size: "9",
    placeholder: `${dataset.layers.at(-1)}.0`, "aria-describedby": `${id}-problem`,
  });
  const problem = h("span", { id: `${id}-problem`, class: "problem", role: "status" });
  const go = (event) => {
    event.preventDefault();
    try {
      const here = namedNeuron(dataset, input.value);
      requireNeuron(dataset, here);
      location.hash = link(`neuron/${here.layer}.${here.neuron}`);
    } catch (error) {
      if (!(error instanceof ReadError)) throw error;
      fill(problem, error.message);
    }
  };
  return h("form", { class: "controls", onsubmit: go },
    h("label", { for: id }, label), input, h("button", { type: "submit" }, "Go"), problem);
}
