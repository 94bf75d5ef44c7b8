/** Find neurons: by number, by token, by class, by ranges of cosines and frequencies. */

import { fill, h } from "../dom.js";
import { findNumbers } from "../parts/find/find_numbers.js";
import { findToken } from "../parts/find/find_token.js";
import { parsedNeuron } from "../router.js";

/** The page's title. */
export function title({ dataset }) {
  return `Find · ${dataset.name}`;
}

/** @param {object} context what a page is given (app.js) */
export async function render(context) {
  fill(context.main,
    h("h1", { tabindex: "-1" }, "Find neurons"),
    byNumber(context),
    findToken(context),
    findNumbers(context));
}

function byNumber({ dataset, link }) {
  const input = h("input", {
    type: "text", id: "find-neuron", size: "10", autocomplete: "off",
    placeholder: `${dataset.layers.at(-1)}.0`, "aria-describedby": "find-neuron-problem",
  });
  const problem = h("span", { id: "find-neuron-problem", class: "problem", role: "status" });
  const go = (event) => {
    event.preventDefault();
    const found = parsedNeuron(input.value);
    if (found && dataset.hasNeuron(found.layer, found.neuron)) {
      location.hash = link(`neuron/${found.layer}.${found.neuron}`);
    } else {
      const missing = `There is no neuron ${input.value.trim()} here.`;
      fill(problem, found ? missing : "Write layer.neuron, such as 0.12.");
    }
  };
  return h("section", { "aria-labelledby": "number-title" },
    h("h2", { id: "number-title" }, "By number"),
    h("form", { class: "controls", onsubmit: go },
      h("label", {}, "Layer.neuron ", input), h("button", { type: "submit" }, "Go"), problem));
}
