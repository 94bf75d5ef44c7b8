/** What a scatter leaves out, and what is shaded in it. */

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
  const said = [`n = ${count(n)} neurons.`];
  if (n < all) {
    const has = all - n === 1 ? "has" : "have";
    said.push(` ${count(all - n)} ${has} no finite value on both axes: not drawn.`);
  }
  if (x.range || y.range) said.push(" Zoomed: only the ranges that are set below are drawn.");
  const region = x.region ?? y.region;
  if (region) {
    const [low, high] = region.map(short);
    said.push(` The grey band, ${low} to ${high}: 95% of the cosines of random vectors.`);
  }
  return said;
}
