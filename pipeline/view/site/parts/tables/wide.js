/** What may be wider than the page: it moves sideways by itself, with keys too. */

import { h } from "../../dom.js";

/** @param {string} label what it holds @param {...any} children of the region */
export function wide(label, ...children) {
  return h("div", { class: "wide", tabindex: "0", role: "region", "aria-label": label }, children);
}

/**
 * A table of few rows; the first cell of a row is its name, the others are numbers.
 *
 * @param {string} label
 * @param {string[]} heads
 * @param {any[][]} rows
 */
export function wideTable(label, heads, rows) {
  return wide(label,
    h("table", { "aria-label": label, class: "figures" },
      h("thead", {}, h("tr", {}, heads.map((name, i) =>
        h("th", { scope: "col", class: i ? "number" : null }, name)))),
      h("tbody", {}, rows.map(([first, ...cells]) =>
        h("tr", {}, h("th", { scope: "row" }, first),
          cells.map((cell) => h("td", { class: "number" }, cell)))))));
}
