/** From a value to a step of a diverging scale: seven steps on each side of the middle. */

/** Steps on each side of zero; the classes `v-7` to `v7` of style/examples.css. */
export const STEPS = 7;

/**
 * The end of the scale of a list: the largest magnitude in it.
 *
 * @param {Iterable<number|null>} values null, NaN and infinities are passed over
 * @returns {number} 0 where every value is 0, or there is none
 */
export function limitOf(values) {
  let limit = 0;
  for (const value of values) {
    const size = Math.abs(value ?? NaN);
    if (size > limit && size < Infinity) limit = size;
  }
  return limit;
}

/**
 * The step of a value, from -7 to 7; the middle step reaches from -1/14 to 1/14 of the limit.
 *
 * @param {number|null} value
 * @param {number} limit of the list (`limitOf`)
 * @returns {number|null} null for what is no finite number
 */
export function stepOf(value, limit) {
  if (value === null || value === undefined || !Number.isFinite(value)) return null;
  if (limit === 0) return 0;
  const share = Math.max(-1, Math.min(1, value / limit));
  // Away from zero on both sides, and never -0.
  return Math.sign(share) * Math.round(Math.abs(share) * STEPS) + 0;
}

/** The class of a value: `v3`, `v-3`, or `odd` for what is no finite number. */
export function colourClass(value, limit) {
  const step = stepOf(value, limit);
  return step === null ? "odd" : `v${step}`;
}
