/** The pieces of a token as nodes. Spaces stay real ones; a dot is drawn behind each. */

import { h } from "../../dom.js";

const SPACES = /( +|[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000])/;

/**
 * @param {import("../../tokens.js").Piece[]} pieces of one token
 * @param {boolean} [breaks] whether a newline breaks the line as well
 * @returns {(Node|string)[]}
 */
export function drawnPieces(pieces, breaks = false) {
  return pieces.map((piece) => {
    if (piece.kind === "text") return spaced(piece.text);
    // Drawn by its style: a sign here would part letters that join, and would be copied.
    if (piece.kind === "rest") return h("span", { class: "rest" });
    const drawn = h("span", { class: piece.kind }, piece.text);
    return breaks && piece.newline ? [drawn, "\n"] : drawn;
  });
}

/** Whether a token is a space and then nothing that a dot has to be drawn for: most are so. */
export function beginsWithSpace(pieces) {
  const [first] = pieces;
  return first.kind === "text" && first.text[0] === " " && !SPACES.test(first.text.slice(1));
}

/** The pieces of a token that `beginsWithSpace`: its element's own class draws the dot. */
export function drawnAfterSpace(pieces, breaks) {
  const [first, ...others] = pieces;
  return [first.text, ...drawnPieces(others, breaks)];
}

function spaced(text) {
  return text.split(SPACES).map((part, i) => {
    if (i % 2 === 0) return part || null;
    return h("span", { class: part[0] === " " ? "spaces" : "wide-space" }, part);
  });
}
