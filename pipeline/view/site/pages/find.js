/** Find neurons: by number, by token, by class, by ranges of cosines and frequencies. */

import { fill, h } from "../dom.js";
import { findNumbers } from "../parts/find/find_numbers.js";
import { findToken } from "../parts/find/find_token.js";
import { neuronForm } from "../parts/neuron_form.js";

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
    await findNumbers(context));
}

function byNumber(context) {
  return h("section", { "aria-labelledby": "number-title" },
    h("h2", { id: "number-title" }, "By number"),
    neuronForm(context, { id: "find-neuron", label: "Layer.neuron" }));
}
