/** A quiet sentence beside what it is about. */

import { h } from "../dom.js";

const OPTION = /(--[a-z][a-z-]*)/;

/** A paragraph. @param {...any} children text, of which no option is broken, and nodes */
export function note(...children) {
  return h("p", { class: "note" }, unbroken(children));
}

/** The same children, in which no line breaks within an option such as `--model`. */
export function unbroken(children) {
  return [children].flat(Infinity).map((child) =>
    (typeof child !== "string" ? child : child.split(OPTION).map((part, i) =>
      (i % 2 ? h("span", { class: "option" }, part) : part))));
}
