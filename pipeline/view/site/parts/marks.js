/** Names of combinations and classes with their marks; a colour is never alone. */

import { h } from "../dom.js";
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

/** With a real minus sign, and a place to break at: `gate− in+`. */
export function readable(combo) {
  return combo.replace("_", " ").replaceAll("-", "−");
}

/** A class with its mark. @param {string} name */
export function classMark(name) {
  return h("span", { class: "mark-class" }, markOf(name), " ", name);
}
