/** Names of combinations and classes with their marks; a colour is never alone. */

import { h } from "../dom.js";
import { readable } from "../words.js";
import { markOf } from "./classes.js";

/** A sign combination with its colour. @param {string} combo such as `gate+_in-` */
export function comboMark(combo) {
  return h("span", { class: "mark-combo" },
    h("i", { class: `dot ${comboClass(combo)}`, "aria-hidden": "true" }), readable(combo));
}

/** The CSS class of a combination's colour: `combo-pp`, `combo-pn`, `combo-np`, `combo-nn`. */
export function comboClass(combo) {
  return `combo-${combo.replace(/[^+-]/g, "").replaceAll("+", "p").replaceAll("-", "n")}`;
}

/** A class with its mark. @param {string} name */
export function classMark(name) {
  return h("span", { class: "mark-class" }, markOf(name), " ", name);
}
