/** The classes of a chart with how many neurons each has; pressed, they choose. */

import { because } from "../../data/lackings.js";
import { fill, h } from "../../dom.js";
import { count, percent } from "../../numbers.js";
import { IO_CLASSES } from "../../words.js";
import { inOrder, markOf } from "../classes.js";
import { note } from "../note.js";

// Of a dataset's own classes so many have a button.
const MOST = 24;

/**
 * @param {object} options
 * @param {Map<string, number>} options.counts neurons of each class
 * @param {Set<string>} options.chosen the classes that are pressed; none: all are meant
 * @param {(chosen: Set<string>) => void} options.onchoose
 * @param {string|null} options.why there are none, where that is so
 * @returns {{element: HTMLElement, paint: () => void}} `paint` shows a choice made elsewhere
 */
export function classLegend({ counts, chosen, onchoose, why }) {
  if (why) {
    return { element: note(because("No neuron has a class", why)), paint: () => {} };
  }
  const total = [...counts.values()].reduce((sum, n) => sum + n, 0);
  const names = inOrder(counts.keys());
  const list = h("ul", { class: "class-legend", "aria-label": "Classes: press to choose" });
  const paint = () => {
    const had = [...list.querySelectorAll("button")].indexOf(document.activeElement);
    const all = { type: "button", class: "all", onclick: () => press(null) };
    fill(list, names.slice(0, MOST).map((name) => item(name)),
      names.length > MOST &&
        h("li", { class: "note" }, `and ${count(names.length - MOST)} other classes`),
      chosen.size > 0 &&
        h("li", {}, h("button", all, "All classes")));
    if (had >= 0) (list.querySelectorAll("button")[had] ?? list.querySelector("button"))?.focus();
  };
  const press = (name) => {
    if (name === null) chosen.clear();
    else if (!chosen.delete(name)) chosen.add(name);
    paint();
    onchoose(chosen);
  };
  const item = (name) => {
    const share = counts.get(name) / total;
    const bar = h("span", { class: "bar", "aria-hidden": "true" });
    bar.style.setProperty("inline-size", `${share * 100}%`);
    return h("li", {},
      h("button", {
        type: "button", "aria-pressed": String(chosen.has(name)), title: IO_CLASSES[name] ?? null,
        onclick: () => press(name),
      }, markOf(name), h("span", { class: "name" }, name),
      h("span", { class: "count" }, `${count(counts.get(name))} (${percent(share)})`), bar));
  };
  paint();
  return { element: list, paint };
}

/** Neurons of each class. @param {{classNames: string[], classes: Uint16Array}} numbers */
export function classCounts({ classNames, classes }) {
  const byCode = new Uint32Array(classNames.length);
  for (const code of classes) byCode[code] += 1;
  return new Map(classNames.map((name, code) => [name, byCode[code]]));
}
