/** The head of a neuron's page: its name, its neighbours, and what one does with it. */

import { h } from "../../dom.js";
import { classMark } from "../marks.js";
import { copying } from "./copy_buttons.js";

/**
 * The neuron before or after another, over the ends of layers; null at the ends of the model.
 *
 * @param {object} dataset
 * @param {{layer: number, neuron: number}} here
 * @param {1|-1} step
 */
export function neighbour(dataset, { layer, neuron }, step) {
  if (dataset.hasNeuron(layer, neuron + step)) return { layer, neuron: neuron + step };
  const next = dataset.layers[dataset.layers.indexOf(layer) + step];
  if (next === undefined) return null;
  return { layer: next, neuron: step > 0 ? 0 : dataset.nNeurons(next) - 1 };
}

/**
 * The neurons before and after one, and the keys that go there. Keys are heard from the start: who
 * steps quickly does not wait for what is passed.
 *
 * @param {object} context of the page
 * @param {{layer: number, neuron: number}} here
 * @returns {HTMLElement} links
 */
export function steps({ dataset, link, params, signal }, here) {
  // The ranking and the colour that are chosen by then go along.
  const to = (other) => link(`neuron/${other.layer}.${other.neuron}`, {
    ranking: params.get("ranking"), colour: params.get("colour"),
  });
  const [before, after] = [-1, 1].map((step) => neighbour(dataset, here, step));
  addEventListener("keydown", (event) => {
    const other = { "[": before, "]": after }[event.key];
    if (!other || event.altKey || event.ctrlKey || event.metaKey || isTyping(event.target)) return;
    location.hash = to(other);
  }, { signal });
  const step = (other, text, rel, key) => other && h("a", {
    href: to(other), rel, class: "step", "aria-keyshortcuts": key,
    onclick: (event) => event.currentTarget.setAttribute("href", to(other)),
  }, text);
  return h("nav", { class: "controls", "aria-label": "Neighbouring neurons" },
    step(before, before && `‹ ${before.layer}.${before.neuron}`, "prev", "["),
    step(after, after && `${after.layer}.${after.neuron} ›`, "next", "]"),
    h("span", { class: "note keys" }, "keys ", h("kbd", {}, "["), " ", h("kbd", {}, "]")));
}

/**
 * @param {object} context of the page
 * @param {{layer: number, neuron: number}} here
 * @param {object} row of `neurons`
 * @param {HTMLElement} neighbours links (`steps`)
 * @param {() => Promise<string>} json the neuron as JSON
 */
export function neuronHead({ dataset, link }, here, row, neighbours, json) {
  const name = `${here.layer}.${here.neuron}`;
  const { buttons, status } = copying([
    { label: "Copy link", said: "The link is copied.", text: () => location.href },
    {
      label: "Copy as JSON",
      said: "The neuron is copied as JSON; NaN and infinities are strings in it.",
      text: json,
    },
  ]);
  return h("div", { class: "neuron-head" },
    h("div", { class: "neuron-name" },
      h("p", { class: "where" },
        h("a", { href: link("model") }, dataset.modelName), " › ",
        h("a", { href: link(`layer/${here.layer}`) }, `layer ${here.layer}`)),
      h("h1", { tabindex: "-1" }, name),
      h("p", { class: "tags" }, row.io_class !== null && classMark(row.io_class),
        row.flipped && h("span", { class: "tag" }, "flipped"))),
    h("div", { class: "neuron-does" },
      neighbours,
      h("div", { class: "controls" }, buttons,
        h("a", { class: "button", href: link("compare", { a: name }) }, "Compare"),
        dataset.live &&
          h("a", { class: "button", href: link("text", { neuron: name }) }, "Try a text")),
      status));
}

function isTyping(target) {
  return target.closest?.("input, textarea, select, [contenteditable]") !== null;
}
