/** One token in a table. */

import { h } from "../../dom.js";
import { tokenPieces } from "../../tokens.js";
import { drawnPieces } from "./pieces.js";

/** @param {number} id @param {import("../../data/vocab.js").Vocab} vocab @returns {HTMLElement} */
export function tokenMark(id, vocab) {
  return h("bdi", { class: "token", title: `id ${id}` }, drawnPieces(tokenPieces([id], vocab)[0]));
}
