/** What is said of one token: beside it for the eye, in a status line for a screen reader. */

import { fill, h } from "../../dom.js";
import { short } from "../../numbers.js";
import { drawnPieces } from "./pieces.js";

const GAP = 6;

/** The read-out of a page. There is one, and it goes where it is needed. */
export class Readout {
  constructor() {
    this.box = h("div", { class: "readout", "aria-hidden": "true", hidden: true });
    this.status = h("p", { class: "unseen", role: "status", "aria-live": "polite" });
    /** Put this into the page. */
    this.element = h("div", { class: "readout-place" }, this.box, this.status);
  }

  /**
   * Show a token.
   *
   * @param {HTMLElement} anchor the token's element
   * @param {{id: number, label: string, pieces: object[], position: number, isPeak: boolean,
   *   values: Record<string, number|null>|null, note: string|null}} token
   * @param {boolean} aloud whether a screen reader is told: after a key, not after the mouse
   */
  show(anchor, token, aloud) {
    const { id, label, pieces, position, isPeak, values, note } = token;
    fill(
      this.box,
      h("div", { class: "readout-token" }, h("bdi", {}, drawnPieces(pieces))),
      h("div", { class: "readout-where" },
        `id ${id} · position ${position}${isPeak ? " · the peak" : ""}`),
      values && h("dl", {}, Object.entries(values).map(([name, value]) => [
        h("dt", {}, name), h("dd", {}, short(value)),
      ])),
      note && h("div", { class: "readout-where" }, note),
    );
    this.box.hidden = false;
    this.place(anchor);
    if (aloud) {
      const said = Object.entries(values ?? {}).map(([name, value]) => `${name} ${short(value)}`);
      fill(this.status, [
        `"${label}"`, `id ${id}`, `position ${position}`, isPeak ? "the peak" : null, ...said, note,
      ].filter(Boolean).join(", "));
    }
  }

  hide() {
    this.box.hidden = true;
    fill(this.status);
  }

  /** Below the token, or above it where there is no room; never outside of the window. */
  place(anchor) {
    const token = anchor.getClientRects()[0];
    if (!token) return;
    const origin = this.element.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.box;
    const rightmost = document.documentElement.clientWidth - width - GAP;
    const left = Math.max(GAP, Math.min(token.left, rightmost));
    const below = token.bottom + GAP + height < innerHeight;
    const top = below ? token.bottom + GAP : token.top - GAP - height;
    this.box.style.setProperty("left", `${left - origin.left}px`);
    this.box.style.setProperty("top", `${top - origin.top}px`);
  }
}
