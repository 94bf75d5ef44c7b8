/** More of an example than its window: the tokens around it, step by step, to the whole. */

import { fill, h } from "../../dom.js";
import { count } from "../../numbers.js";
import { TokenText } from "./token_text.js";

// Tokens that a step adds at each end; a window is 64.
const STEP = 256;

/**
 * A button that opens the longer context below the example, and closes it again.
 *
 * @param {object} entry an example (`entryOf` of example.js)
 * @param {object} side {dataset, vocab, readout}
 * @param {() => [string, number]} colouring the quantity and the limit now in force
 */
export function longerContext(entry, side, colouring) {
  if (!side.dataset.has("corpus") || side.dataset.lacks("corpus", "input_ids")) return null;
  const button = h("button", {
    type: "button", class: "quiet", "aria-expanded": "false",
    "aria-label": `Longer context of example ${entry.row.example_id}`,
  }, "Longer context");
  let place = null;
  button.addEventListener("click", async () => {
    const item = button.closest(".example");
    if (place) {
      place.remove();
      place = null;
      item.longer = null;
      button.setAttribute("aria-expanded", "false");
      return;
    }
    place = h("div", { class: "longer" },
      h("p", { class: "loading", role: "status" }, "Reading …"));
    item.append(place);
    button.setAttribute("aria-expanded", "true");
    const here = place;
    try {
      const example = await side.dataset.example(entry.row.example_id);
      if (here === place) new Longer(entry, example, side, colouring, place).draw();
    } catch (error) {
      fill(here, h("p", { class: "problem", role: "alert" }, error.message));
    }
  });
  return button;
}

class Longer {
  constructor(entry, example, side, colouring, place) {
    Object.assign(this, { entry, side, colouring, place });
    this.ids = example.input_ids;
    const { window_start: start, token_ids: window } = entry.row;
    this.start = Math.max(0, start - STEP);
    this.end = Math.min(this.ids.length, start + window.length + STEP);
  }

  draw() {
    const { row, values } = this.entry;
    const shift = row.window_start - this.start;
    const ids = this.ids.slice(this.start, this.end);
    const around = Object.fromEntries(Object.entries(values).map(([name, inWindow]) => [
      name, ids.map((_, i) => inWindow[i - shift]),
    ]));
    const text = new TokenText(
      { ids, first: this.start, values: around, peak: row.position - this.start },
      this.side.vocab,
      this.side.readout,
      { label: `Longer context of example ${row.example_id}, ${ids.length} tokens`, breaks: true },
    ).colour(...this.colouring());
    const before = this.start;
    const after = this.ids.length - this.end;
    fill(
      this.place,
      h("p", { class: "note" }, this.said()),
      before > 0 && this.more(`${count(Math.min(STEP, before))} more before`, () => {
        this.start = Math.max(0, this.start - STEP);
      }),
      text.element,
      after > 0 && this.more(`${count(Math.min(STEP, after))} more after`, () => {
        this.end = Math.min(this.ids.length, this.end + STEP);
      }),
    );
    this.place.closest(".example").longer = text;
  }

  said() {
    const { window_start: start, token_ids: window } = this.entry.row;
    if (window.length === this.ids.length) return "The window is the whole example.";
    const shown = `${count(this.start)} to ${count(this.end - 1)} of ${count(this.ids.length)}`;
    return `Tokens ${shown}. The dataset keeps values of the window, ` +
      `tokens ${count(start)} to ${count(start + window.length - 1)}.`;
  }

  more(label, grow) {
    return h("button", { type: "button", class: "quiet", onclick: () => {
      grow();
      this.draw();
      this.place.querySelector(".text").focus({ preventScroll: true });
    } }, label);
  }
}
