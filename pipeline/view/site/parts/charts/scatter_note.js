/** What a scatter leaves out, and what is shaded in it. */

import { columnsOf } from "../../axes.js";
import { because, whyOf } from "../../data/lackings.js";
import { count, short } from "../../numbers.js";

/**
 * @param {import("./scatter.js").Side} x
 * @param {import("./scatter.js").Side} y
 * @returns {string[]} sentences
 */
export function scatterNote(x, y) {
  const all = x.values.length;
  let n = 0;
  for (let i = 0; i < all; i += 1) {
    if (Number.isFinite(x.values[i]) && Number.isFinite(y.values[i])) n += 1;
  }
  const lacking = [...new Set([x.lack, y.lack])].filter(Boolean);
  if (!n) return lacking.length ? lacking : ["No neuron has a number on both axes."];
  const said = [`n = ${count(n)} neurons.`];
  if (n < all) said.push(...lacking.map((sentence) => ` ${sentence}`));
  if (x.range || y.range) said.push(" Zoomed: only the ranges that are set below are drawn.");
  const region = x.region ?? y.region;
  if (region) {
    const [low, high] = region.map(short);
    said.push(` The grey band, ${low} to ${high}: 95% of the cosines of random vectors.`);
  }
  return said;
}

/**
 * How many neurons have no number of an axis, in a sentence.
 *
 * @param {import("../../axes.js").Axis} axis
 * @param {Float64Array} values
 * @param {import("../../data/dataset.js").Dataset} dataset
 * @returns {string|null} null where each has one
 */
export function lackOf(axis, values, dataset) {
  const all = values.length;
  let n = 0;
  let nNaN = 0;
  for (let i = 0; i < all; i += 1) {
    if (Number.isFinite(values[i])) n += 1;
    else if (Number.isNaN(values[i])) nNaN += 1;
  }
  if (n === all) return null;
  const what = nNaN === all - n ? axis.label : `finite ${axis.label}`;
  const why = whyOf(dataset, columnsOf(axis));
  if (!n) return because(`No neuron has a ${what}`, why);
  const has = all - n === 1 ? "has" : "have";
  return because(`${count(all - n)} of ${count(all)} neurons ${has} no ${what}`, why);
}
