/** What the table `layers` says: classes and cosines of each layer. */

import { COSINES } from "../../axes.js";
import { h } from "../../dom.js";
import { count, percent, short } from "../../numbers.js";
import { ByLayer } from "../charts/by_layer.js";
import { classColumn, classShares, classesIn, nOfClass } from "../charts/class_shares.js";
import { CLASS_ORDER, swatchOf } from "../classes.js";
import { wideTable } from "../tables/wide.js";

/**
 * @param {object} context what a page is given (app.js)
 * @param {object[]} all rows of `layers`
 * @returns {(HTMLElement|null)[]|null} null where of no layer anything is known
 */
export function layerOverview({ link, signal }, all) {
  const to = (layer) => link(`layer/${layer}`);
  const rows = all.filter(tellsOfWeights);
  if (!rows.length) return null;
  const classes = classesIn(rows);
  const layers = rows.map(({ layer }) => layer);
  const n = rows.reduce((sum, row) => sum + row.n_neurons, 0);
  const region = {
    low: rows.map((row) => row.randomness_low),
    high: rows.map((row) => row.randomness_high),
  };
  const isKnown = ({ name }) => rows.some((row) => Number.isFinite(row[`median_${name}`]));
  const medians = COSINES.filter(isKnown).map((axis) => {
    const figure = new ByLayer({
      title: axis.label, yLabel: "cosine", note: `n = ${count(n)} neurons`, signal,
    });
    const column = (prefix) => rows.map((row) => row[`${prefix}_${axis.name}`]);
    const line = {
      name: `median ${axis.label}`, look: "first",
      values: column("median"), low: column("q1"), high: column("q3"),
    };
    figure.show(layers, [line], region);
    return figure.element;
  });
  const left = all.length - rows.length;
  return [
    left > 0 && h("p", { class: "note" },
      `${count(left)} of ${count(all.length)} layers are left out: nothing is known of them.`),
    h("h3", {}, "Classes of input-output functionality"),
    h("ul", { class: "key", "aria-label": "Classes" },
      classes.map((name) => h("li", {}, swatchOf(name), name))),
    h("div", { class: "two" }, classShares({ rows, link: to, signal })),
    h("details", {}, h("summary", {}, "As a table: neurons of each class"),
      classTable(rows, classes, to)),
    h("h3", {}, "Cosines of the weights"),
    h("p", { class: "note" }, "Median and middle half of each layer's neurons; ",
      "grey: 95% of the cosines of random vectors."),
    h("div", { class: "three" }, medians),
    h("details", { open: rows.length <= 8 }, h("summary", {}, "As a table: medians and quartiles"),
      medianTable(rows, to)),
  ];
}

function tellsOfWeights(row) {
  const names = [...CLASS_ORDER.map(classColumn), ...COSINES.map(({ name }) => `median_${name}`)];
  return names.some((name) => Number.isFinite(row[name]));
}

function classTable(rows, classes, to) {
  const cell = (row, name) => {
    const n = nOfClass(row, name);
    return `${count(n)} (${percent(row.n_neurons ? n / row.n_neurons : null)})`;
  };
  return wideTable("Neurons of each class by layer", ["Layer", "Neurons", "Flipped", ...classes],
    rows.map((row) => [
      h("a", { href: to(row.layer) }, row.layer), count(row.n_neurons), count(row.n_flipped ?? 0),
      ...classes.map((name) => cell(row, name)),
    ]));
}

function medianTable(rows, to) {
  const cell = (row, name) => {
    const quartiles = `[${short(row[`q1_${name}`])}, ${short(row[`q3_${name}`])}]`;
    return `${short(row[`median_${name}`])} ${quartiles}`;
  };
  return wideTable("Cosines by layer: median and, in brackets, the quartiles",
    ["Layer", "Neurons", ...COSINES.map(({ label }) => label), "95% of random vectors"],
    rows.map((row) => [
      h("a", { href: to(row.layer) }, row.layer), count(row.n_neurons),
      ...COSINES.map(({ name }) => cell(row, name)),
      `${short(row.randomness_low)} to ${short(row.randomness_high)}`,
    ]));
}
