/** One entry of a list of examples: its text, the values at its peak, where it comes from. */

import { h } from "../../dom.js";
import { count, short } from "../../numbers.js";
import { longerContext } from "./longer_context.js";
import { TokenText } from "./token_text.js";
import { hasWindow, windowlessItem } from "./windowless.js";

/**
 * An entry with the values at each of its tokens: gate and in as stored, act and post where the
 * activation function is known; none where there is no window.
 *
 * @param {object} row of `examples`
 * @param {((gate: number) => number)|null} act
 */
export function entryOf(row, act) {
  if (!hasWindow(row)) return { row, values: {}, peak: -1 };
  const values = { gate: row.gate, in: row.in };
  if (act) {
    values.act = row.gate.map((gate) => (gate === null ? null : act(gate)));
    values.post = values.act.map((a, i) =>
      (a === null || row.in[i] === null ? null : a * row.in[i]));
  }
  return { row, values, peak: row.position - row.window_start };
}

/**
 * The entry as an item of an ordered list.
 *
 * @param {ReturnType<typeof entryOf>} entry
 * @param {object} side whose neuron it is: {dataset, vocab, act, readout, sources}
 * @param {string} quantity that colours it
 * @param {number} limit end of the list's scale
 */
export function exampleItem(entry, side, quantity, limit) {
  const { row, values, peak } = entry;
  if (!hasWindow(row)) return windowlessItem(entry, side, peakValues(row, side.act));
  const around = `${row.token_ids.length} tokens around position ${row.position}`;
  const text = new TokenText(
    { ids: row.token_ids, first: row.window_start, values, peak },
    side.vocab,
    side.readout,
    { label: `Example ${row.example_id}, ${around}` },
  ).colour(quantity, limit);
  const source = h("span", { class: "source" });
  const item = h("li", { class: "example", value: row.rank + 1 },
    h("div", { class: "peak-values" },
      h("span", { class: "rank", "aria-hidden": "true" }, row.rank + 1),
      peakValues(row, side.act)),
    text.element,
    h("div", { class: "from" },
      h("span", {}, `example ${row.example_id}, position ${row.position}`),
      row.n_duplicates > 0 &&
        h("span", {}, `+${count(row.n_duplicates)} with the same tokens up to the peak`),
      source,
      longerContext(entry, side, () => [item.quantity, item.limit])));
  Object.assign(item, { quantity, limit, text });
  side.sources.watch(item, row.example_id, source);
  return item;
}

/** Colour an item anew. */
export function recolour(item, quantity, limit) {
  Object.assign(item, { quantity, limit });
  item.text?.colour(quantity, limit);
  item.longer?.colour(quantity, limit);
}

function peakValues(row, act) {
  const ranked = row.ranking;
  const values = { gate: row.gate_value, in: row.in_value };
  if (act && row.gate_value !== null) values.act = act(row.gate_value);
  values.post = row.post_value;
  const known = Object.entries(values).filter(([, value]) => value !== null);
  const isScored = known.some(([name]) => name === ranked);
  const scored = ranked === "random" ? "score" : `|${ranked}|`;
  return [
    known.map(([name, value]) =>
      h("span", { class: name === ranked ? "ranked" : null },
        `${name} `, h("b", {}, short(value)))),
    !isScored && h("span", { class: "ranked" }, `${scored} `, h("b", {}, short(row.score))),
  ];
}
