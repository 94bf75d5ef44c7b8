/** What is drawn for each token of a text: its bytes, put together with those of its neighbours. */

import { shownCharacters } from "./characters.js";
import { count } from "./numbers.js";

/** Code points of one token that are shown. */
const MAX_SHOWN = 200;

/**
 * The pieces of every token, in order.
 *
 * The bytes of neighbouring tokens are read together as UTF-8. A character, or a cluster of them
 * that is one to a reader, is drawn once, at the token of its first byte; each other token that it
 * reaches into begins with a mark of kind `rest`. Bytes that are no UTF-8 are `byte` pieces. A
 * token whose bytes are not known stands alone.
 *
 * @param {ArrayLike<number>} ids token ids
 * @param {{bytes: (id: number) => Uint8Array|null, text: (id: number) => string}} vocab
 * @returns {Piece[][]} one list a token, never empty
 */
export function tokenPieces(ids, vocab) {
  const pieces = Array.from(ids, () => []);
  let run = [];
  for (let token = 0; token < pieces.length; token += 1) {
    const bytes = vocab.bytes(ids[token]);
    if (bytes) {
      run.push({ token, bytes });
      continue;
    }
    readRun(run, pieces);
    run = [];
    pieces[token].push({ kind: "special", text: shortened(visible(vocab.text(ids[token]))) });
  }
  readRun(run, pieces);
  return pieces.map(finished);
}

/**
 * A token by itself, on one line of text: what a read-out or a label says.
 *
 * @param {number} id
 * @param {{bytes: (id: number) => Uint8Array|null, text: (id: number) => string}} vocab
 * @returns {string}
 */
export function tokenLabel(id, vocab) {
  return tokenPieces([id], vocab)[0]
    .map((piece) => piece.text)
    .join("");
}

/** Put the pieces of tokens whose bytes follow each other where they belong. */
function readRun(run, pieces) {
  if (!run.length) return;
  if (run.every(({ bytes }) => isPlain(bytes))) {
    for (const { token, bytes } of run) {
      if (bytes.length) pieces[token].push({ kind: "text", text: ascii(bytes) });
    }
    return;
  }
  const total = run.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const all = new Uint8Array(total);
  const owner = new Uint32Array(total);
  let at = 0;
  run.forEach(({ token, bytes }) => {
    all.set(bytes, at);
    owner.fill(token, at, at + bytes.length);
    at += bytes.length;
  });
  for (const { start, end, shown } of units(all)) {
    pieces[owner[start]].push(...shown);
    for (let i = start + 1; i < end; i += 1) {
      if (owner[i] !== owner[i - 1]) pieces[owner[i]].push({ kind: "rest", text: "‥" });
    }
  }
}

/** What bytes hold, one after the other: clusters of characters, and bytes that are none. */
function* units(bytes) {
  let at = 0;
  while (at < bytes.length) {
    let end = at;
    let text = "";
    while (end < bytes.length) {
      const length = characterLength(bytes, end);
      if (!length) break;
      text += String.fromCodePoint(codePoint(bytes, end, length));
      end += length;
    }
    for (const cluster of clusters(text)) {
      const size = utf8Length(cluster);
      yield { start: at, end: at + size, shown: shownCharacters(cluster) };
      at += size;
    }
    if (at < bytes.length) {
      const hex = bytes[at].toString(16).toUpperCase().padStart(2, "0");
      yield { start: at, end: at + 1, shown: [{ kind: "byte", text: `<0x${hex}>` }] };
      at += 1;
    }
  }
}

const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });
// Where none of these is, every character is a cluster; to segment takes many times longer.
const CLUSTERING =
  /[\p{M}\p{Cf}\p{Emoji_Modifier}\p{Regional_Indicator}\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff]/u;

function* clusters(text) {
  if (!CLUSTERING.test(text)) {
    yield* text;
    return;
  }
  for (const { segment } of segmenter.segment(text)) {
    if (segment === "\r\n") yield* ["\r", "\n"];
    else yield segment;
  }
}

/** Bytes of the well-formed character that begins at `at`; 0 where none does. */
function characterLength(bytes, at) {
  const first = bytes[at];
  if (first < 0x80) return 1;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || at + length > bytes.length) return 0;
  for (let i = at + 1; i < at + length; i += 1) if (bytes[i] >> 6 !== 2) return 0;
  const point = codePoint(bytes, at, length);
  const isSurrogate = point >= 0xd800 && point <= 0xdfff;
  const isOverlong = (length === 3 && point < 0x800) || (length === 4 && point < 0x10000);
  return isSurrogate || isOverlong || point > 0x10ffff ? 0 : length;
}

function codePoint(bytes, at, length) {
  let point = length === 1 ? bytes[at] : bytes[at] & (0xff >> (length + 1));
  for (let i = at + 1; i < at + length; i += 1) point = (point << 6) | (bytes[i] & 0x3f);
  return point;
}

function utf8Length(text) {
  let n = 0;
  for (const character of text) {
    const point = character.codePointAt(0);
    n += point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
  }
  return n;
}

function isPlain(bytes) {
  return bytes.every((byte) => byte >= 0x20 && byte < 0x7f);
}

function ascii(bytes) {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

function visible(text) {
  return shownCharacters(text)
    .map((piece) => piece.text)
    .join("");
}

function shortened(text) {
  const points = Array.from(text);
  if (points.length <= MAX_SHOWN) return text || "∅";
  return `${points.slice(0, MAX_SHOWN).join("")}… (${count(points.length)} characters)`;
}

/** Neighbouring texts joined, what is too long cut with a word about it, ∅ for nothing. */
function finished(pieces) {
  if (!pieces.length) return [{ kind: "empty", text: "∅" }];
  const joined = [];
  for (const piece of pieces) {
    const last = joined.at(-1);
    if (piece.kind === "text" && last?.kind === "text") last.text += piece.text;
    else joined.push({ ...piece });
  }
  return cut(joined);
}

function cut(pieces) {
  // Most tokens are short, and their length in UTF-16 tells it.
  if (pieces.reduce((sum, { text }) => sum + text.length, 0) <= MAX_SHOWN) return pieces;
  const n = pieces.reduce((sum, piece) => sum + points(piece), 0);
  if (n <= MAX_SHOWN) return pieces;
  const kept = [];
  let left = MAX_SHOWN;
  for (const piece of pieces) {
    const size = points(piece);
    if (size > left) {
      const text = Array.from(piece.text).slice(0, left).join("");
      if (piece.kind === "text" && left) kept.push({ ...piece, text });
      break;
    }
    kept.push(piece);
    left -= size;
  }
  return [...kept, { kind: "cut", text: `… ${count(n)} characters` }];
}

/** Code points of the text that a piece stands for. */
function points(piece) {
  if (piece.kind === "rest" || piece.kind === "special") return 0;
  return piece.kind === "text" ? Array.from(piece.text).length : 1;
}

/**
 * @typedef {{kind: "text"|"symbol"|"chip"|"byte"|"special"|"rest"|"empty"|"cut", text: string,
 *   newline?: boolean}} Piece
 */
