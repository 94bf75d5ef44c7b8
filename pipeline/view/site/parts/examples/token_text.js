/** A text of tokens, coloured by a quantity, to go through with the mouse or with keys. */

import { colourClass } from "../../colour.js";
import { h } from "../../dom.js";
import { tokenLabel, tokenPieces } from "../../tokens.js";
import { beginsWithSpace, drawnAfterSpace, drawnPieces } from "./pieces.js";

/** What the keys do, for a page to say once. */
export const KEYS_HELP = "Tab goes from text to text, ← → Home End through the tokens of one.";

/**
 * @typedef {object} TokenValues
 * @property {ArrayLike<number>} ids token ids
 * @property {number} first position of the first of them in its example
 * @property {Record<string, ArrayLike<number|null|undefined>>} values of each quantity at each
 *   token; undefined where none was kept
 * @property {number} peak index of the token that is marked, -1 for none
 */

/** One text. */
export class TokenText {
  /**
   * @param {TokenValues} tokens
   * @param {object} vocab of the dataset
   * @param {import("./readout.js").Readout} readout
   * @param {{label: string, breaks?: boolean}} options what a screen reader calls the text; whether
   *   newlines break its lines
   */
  constructor(tokens, vocab, readout, { label, breaks = false }) {
    Object.assign(this, tokens, { vocab, readout });
    this.pieces = tokenPieces(tokens.ids, vocab);
    this.now = -1;
    this.isSpaced = this.pieces.map(beginsWithSpace);
    this.element = h("div", {
      class: `text${breaks ? " breaks" : ""}`, dir: "auto", tabindex: "0", role: "group",
      "aria-label": label,
    }, this.pieces.map((pieces, i) =>
      h(i === this.peak ? "mark" : "span", null,
        this.isSpaced[i] ? drawnAfterSpace(pieces, breaks) : drawnPieces(pieces, breaks))));
    this.listen();
  }

  /** Colour every token. @param {string} quantity @param {number} limit end of the list's scale */
  colour(quantity, limit) {
    const values = this.values[quantity];
    this.colours = Array.from(this.ids, (_, i) =>
      values[i] === undefined ? "" : colourClass(values[i], limit),
    );
    for (let i = 0; i < this.colours.length; i += 1) this.dress(i);
    return this;
  }

  dress(i) {
    const names = ["t", this.colours[i]];
    if (this.isSpaced[i]) names.push("sp");
    if (i === this.peak) names.push("peak");
    if (i === this.now) names.push("now");
    this.element.children[i].className = names.join(" ");
  }

  listen() {
    const { element } = this;
    element.addEventListener("pointerover", (event) => this.go(this.indexOf(event.target), false));
    element.addEventListener("pointerleave", () => this.leave());
    element.addEventListener("click", (event) => this.go(this.indexOf(event.target), true));
    element.addEventListener("focus", () => {
      if (element.matches(":focus-visible")) this.go(Math.max(this.peak, 0), true);
    });
    element.addEventListener("blur", () => this.leave());
    element.addEventListener("keydown", (event) => this.key(event));
  }

  key(event) {
    const { key, altKey, ctrlKey, metaKey, shiftKey } = event;
    if (altKey || ctrlKey || metaKey || shiftKey) return;
    const last = this.pieces.length - 1;
    if (key === "Escape") {
      this.leave();
      return;
    }
    const here = this.now < 0 ? Math.max(this.peak, 0) : this.now;
    const to = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: last }[key];
    if (to === undefined) return;
    event.preventDefault();
    this.go(Math.max(0, Math.min(last, to)), true);
    this.element.children[this.now].scrollIntoView({ block: "nearest" });
    this.readout.place(this.element.children[this.now]);
  }

  indexOf(target) {
    let node = target;
    while (node && node.parentNode !== this.element) node = node.parentNode;
    return node ? Array.prototype.indexOf.call(this.element.children, node) : -1;
  }

  go(i, aloud) {
    if (i < 0) return;
    const before = this.now;
    this.now = i;
    if (before >= 0) this.dress(before);
    this.dress(i);
    const at = Object.entries(this.values).map(([name, values]) => [name, values[i]]);
    const known = at.every(([, value]) => value !== undefined);
    this.readout.show(this.element.children[i], {
      id: this.ids[i],
      label: tokenLabel(this.ids[i], this.vocab),
      pieces: this.pieces[i],
      position: this.first + i,
      isPeak: i === this.peak,
      values: known ? Object.fromEntries(at) : null,
      note: this.noteOn(i, known),
    }, aloud);
  }

  noteOn(i, known) {
    const notes = [
      known ? null : "outside the window: no values were kept",
      this.pieces[i][0].kind === "rest" ? "goes on with the character before it" : null,
    ].filter(Boolean);
    return notes.join("; ") || null;
  }

  leave() {
    const before = this.now;
    this.now = -1;
    if (before >= 0) this.dress(before);
    this.readout.hide();
  }
}
