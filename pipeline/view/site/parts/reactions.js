/** What the model says of a text: one neuron along it, or the neurons that react most. */

import { limitOf } from "../colour.js";
import { fill, h } from "../dom.js";
import { count, short } from "../numbers.js";
import { tokenPieces } from "../tokens.js";
import { QUANTITIES } from "../words.js";
import { legend } from "./examples/colour_legend.js";
import { colourChoice } from "./examples/list_choices.js";
import { drawnPieces } from "./examples/pieces.js";
import { KEYS_HELP, TokenText } from "./examples/token_text.js";
import { wide } from "./tables/wide.js";

const COLUMNS = ["position", "token", "id", ...QUANTITIES, "combination"];

/**
 * A neuron along a text.
 *
 * @param {object} answer of the server: tokens, gate, in, act, post
 * @param {{vocab: object, readout: object, quantity: string, skipBos: boolean,
 *   onquantity: (quantity: string) => void}} options
 */
export function neuronAlong(answer, { vocab, readout, quantity, skipBos, onquantity }) {
  const ids = answer.tokens.map((token) => token.token_id);
  const values = Object.fromEntries(QUANTITIES.map((name) => [name, answer[name]]));
  const text = new TokenText(
    { ids, first: 0, values, peak: peakOf(answer.post, skipBos ? 1 : 0) },
    vocab,
    readout,
    { label: `The text, ${ids.length} tokens`, breaks: true },
  );
  const head = h("div", { class: "list-head" });
  const colour = (name) => {
    const limit = limitOf(values[name]);
    fill(head, legend(name, limit, values[name].some((value) => value === null)));
    text.colour(name, limit);
  };
  colour(quantity);
  return [
    h("div", { class: "controls" }, colourChoice({
      quantities: QUANTITIES, quantity,
      onchange: (name) => {
        colour(name);
        onquantity(name);
      },
    })),
    h("p", { class: "note" }, cutNote(answer), "The frame marks the largest |post|",
      skipBos && ", position 0 left out", ". ", KEYS_HELP),
    head,
    text.element,
    h("details", { class: "all-values" },
      h("summary", {}, "All values as a table"),
      wide("All values",
        h("table", {},
          h("thead", {}, h("tr", {}, COLUMNS.map(headCell))),
          h("tbody", {}, ids.map((id, i) => h("tr", {},
            h("th", { scope: "row", class: "number" }, i),
            h("td", { class: "text" }, drawnPieces(text.pieces[i])),
            h("td", { class: "number" }, id),
            QUANTITIES.map((name) => h("td", { class: "number" }, short(values[name][i]))),
            h("td", {}, combination(values.gate[i], values.in[i])))))))),
  ];
}

/**
 * The neurons of a layer that react most to a text.
 *
 * @param {object} answer of the server: tokens, neurons
 * @param {{vocab: object, neuronLink: Function, alongLink: Function, layer: number}} options
 *   addresses of a neuron's page and of its values along this text
 */
export function strongest(answer, { vocab, neuronLink, alongLink, layer }) {
  const ids = answer.tokens.map((token) => token.token_id);
  const pieces = tokenPieces(ids, vocab);
  return [
    h("p", { class: "note" }, cutNote(answer),
      `The ${count(answer.neurons.length)} neurons of layer ${layer} with the largest |post|, `,
      "each at its peak."),
    wide("Strongest neurons",
      h("table", { class: "strongest" },
        h("thead", {}, h("tr", {},
          ["neuron", ...QUANTITIES, "peak", "position"].map(headCell), h("td", {}))),
        h("tbody", {}, answer.neurons.map((one) => h("tr", {},
          h("th", { scope: "row" },
            h("a", { href: neuronLink(one.neuron) }, `${layer}.${one.neuron}`)),
          QUANTITIES.map((name) => h("td", { class: "number" }, short(one[name]))),
          h("td", { class: "text" }, drawnPieces(pieces[one.position])),
          h("td", { class: "number" }, one.position),
          h("td", {}, h("a", {
            href: alongLink(one.neuron), "aria-label": `along the text: ${layer}.${one.neuron}`,
          }, "along the text"))))))),
  ];
}

/** The head of a column; numbers stand to the right, and so does what is above them. */
function headCell(name) {
  const isNumber = [...QUANTITIES, "position", "id"].includes(name);
  return h("th", { scope: "col", class: isNumber ? "number" : null }, name);
}

function cutNote(answer) {
  return answer.cut && `The text was cut after ${count(answer.tokens.length)} tokens. `;
}

/** Index of the largest |post| from `first` on; -1 where there is none. */
function peakOf(post, first) {
  let peak = -1;
  post.forEach((value, i) => {
    if (i < first || value === null) return;
    if (peak < 0 || Math.abs(value) > Math.abs(post[peak])) peak = i;
  });
  return peak;
}

function combination(gate, in_) {
  if (gate === null || in_ === null) return "–";
  if (gate === 0 || in_ === 0) return "zero";
  return `gate${gate > 0 ? "+" : "−"} in${in_ > 0 ? "+" : "−"}`;
}
