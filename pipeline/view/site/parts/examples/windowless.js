/** An entry whose window is not known: its number, its score, and how its text begins. */

import { shownCharacters } from "../../characters.js";
import { fill, h } from "../../dom.js";

// Characters that are shown of a text at first, and that a step adds.
const FIRST = 240;
const STEP = 4000;

/** Whether a row of `examples` has its tokens. @param {object} row */
export function hasWindow({ token_ids: ids }) {
  return ids !== null;
}

/**
 * The entry as an item of an ordered list.
 *
 * @param {{row: object}} entry (`entryOf` of example.js)
 * @param {object} side whose neuron it is: {dataset, sources}
 * @param {Node[]} values what is known of its peak
 * @returns {HTMLElement}
 */
export function windowlessItem({ row }, { dataset, sources }, values) {
  const where = row.position === null ? ", position not known" : `, position ${row.position}`;
  const text = h("p", { class: "text", dir: "auto", tabindex: "-1" });
  const source = h("span", { class: "source" });
  const more = h("span");
  const hasTexts = dataset.has("corpus");
  const item = h("li", { class: `example${hasTexts ? "" : " textless"}`, value: row.rank + 1 },
    h("div", { class: "peak-values" },
      h("span", { class: "rank", "aria-hidden": "true" }, row.rank + 1), values),
    hasTexts && text,
    h("div", { class: "from" }, h("span", {}, `example ${row.example_id}${where}`), source, more));
  sources.watchText(item, row.example_id, source, (whole) => {
    if (whole === null) text.remove();
    else begin(Array.from(whole), text, more, `More of the text of example ${row.example_id}`);
  });
  return item;
}

/** Show how a text begins, and offer more of it where there is more. */
function begin(characters, place, offer, label) {
  let n = FIRST;
  const draw = () => {
    const shown = shownCharacters(characters.slice(0, n).join(""));
    fill(place,
      shown.map(({ kind, text, newline }) => [
        kind === "text" ? text : h("span", { class: kind }, text), newline && n > FIRST && "\n",
      ]),
      characters.length > n && "…",
      !characters.length && h("span", { class: "empty" }, "an empty text"));
    const grow = () => {
      n += STEP;
      draw();
      place.focus({ preventScroll: true });
    };
    fill(offer, characters.length > n &&
      h("button", { type: "button", class: "quiet", "aria-label": label, onclick: grow },
        "More of the text"));
  };
  draw();
}
