/** Characters made harmless and visible, as pipeline/view/visible.py does for a terminal. */

const SYMBOLS = { "\n": "↵", "\t": "⇥", "\r": "␍", "\x7f": "␡" };
// Without a shape of their own, or with one that moves or hides others.
const UNSEEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u;
const JOINERS = "\u200c\u200d";
const JOINED = /[\p{Extended_Pictographic}\p{Emoji_Modifier}\p{L}\p{M}]/u;
// Letters that no joiner joins.
const UNJOINED =
  /[\p{scx=Latn}\p{scx=Grek}\p{scx=Cyrl}\p{scx=Hani}\p{scx=Hira}\p{scx=Kana}\p{scx=Hang}]/u;
const VARIED = /[\p{Emoji}\p{Sm}\p{sc=Han}\p{sc=Mongolian}\p{sc=Myanmar}\p{sc=Phags_Pa}]/u;
const SELECTOR = /[\u180b-\u180d\u180f\ufe00-\ufe0f\u{e0100}-\u{e01ef}]/u;
const TAGGED_FLAG = /^\u{1f3f4}[\u{e0030}-\u{e0039}\u{e0061}-\u{e007a}]{1,6}\u{e007f}$/u;
const CONJOINING = /^[\u1100-\u11ff\ua960-\ua97f\ud7b0-\ud7ff]+$/;

/**
 * What is shown of a text: characters as they are; newline, tab and other controls as their
 * pictures; what is not seen, or reorders others, as `<U+202E>`. A joiner or variation selector
 * that has its work in a cluster is kept, and so are the tags of a flag.
 *
 * @param {string} text a cluster of characters, or more
 * @returns {{kind: "text"|"symbol"|"chip", text: string, newline?: boolean}[]}
 */
export function shownCharacters(text) {
  if (!UNSEEN.test(text) || TAGGED_FLAG.test(text)) return [{ kind: "text", text }];
  const pieces = [];
  const characters = Array.from(text);
  let seen = "";
  characters.forEach((character, i) => {
    if (!UNSEEN.test(character) || hasWork(characters, i)) {
      seen += character;
      return;
    }
    if (seen) pieces.push({ kind: "text", text: seen });
    seen = "";
    pieces.push(unseen(character));
  });
  if (seen) pieces.push({ kind: "text", text: seen });
  return pieces;
}

function hasWork(characters, i) {
  const before = characters[i - 1] ?? "";
  if (JOINERS.includes(characters[i])) {
    const base = SELECTOR.test(before) ? (characters[i - 2] ?? "") : before;
    return JOINED.test(base) && !UNJOINED.test(base);
  }
  if (SELECTOR.test(characters[i])) return VARIED.test(before);
  return CONJOINING.test(characters[i]) && CONJOINING.test(before);
}

function unseen(character) {
  if (character in SYMBOLS) {
    return { kind: "symbol", text: SYMBOLS[character], newline: character === "\n" };
  }
  const point = character.codePointAt(0);
  if (point < 0x20) return { kind: "symbol", text: String.fromCodePoint(0x2400 + point) };
  return { kind: "chip", text: `<U+${point.toString(16).toUpperCase().padStart(4, "0")}>` };
}
