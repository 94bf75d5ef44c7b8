/** From numbers to places of a drawing, and the ticks between them. */

/** @typedef {{low: number, high: number, at: (value: number) => number, back: (place: number) =>
 *   number, ticks: number[], text: (value: number) => string}} Scale */

/**
 * A linear scale with ticks at round numbers.
 *
 * @param {[number, number]} domain as shown, from low to high
 * @param {[number, number]} range places of its ends
 * @param {number} nTicks about so many
 * @param {boolean} [isShare] ticks are percentages
 * @returns {Scale}
 */
export function scale([low, high], [from, to], nTicks, isShare = false) {
  const factor = (to - from) / (high - low);
  const step = roundStep((high - low) / Math.max(1, nTicks));
  const ticks = [];
  // Plus 0: the first tick may be -0.
  const last = high + step * 1e-9;
  for (let i = Math.ceil(low / step - 1e-9) + 0; i * step <= last; i += 1) ticks.push(i * step);
  const unit = isShare ? 100 : 1;
  // Digits that tell neighbouring ticks apart.
  const digits = Math.max(0, -Math.floor(Math.log10(step * unit) + 1e-9));
  const large = Math.max(Math.abs(low), Math.abs(high)) * unit;
  const plain = (value) =>
    large >= 1e6 || digits > 6 ? (value * unit).toExponential(1) : (value * unit).toFixed(digits);
  const text = (value) =>
    `${plain(value).replace(/^-(0(\.0+)?)$/, "$1").replace("-", "−")}${isShare ? "%" : ""}`;
  return {
    low, high, ticks, text,
    at: (value) => from + (value - low) * factor,
    back: (place) => low + (place - from) / factor,
  };
}

/**
 * A domain that holds numbers, a little wider than they are.
 *
 * @param {ArrayLike<number>} values those that are not finite are left out
 * @param {{low?: number, high?: number}} [limits] it never reaches past these
 * @returns {[number, number]} of some width, even for one number and for none
 */
export function domainOf(values, { low = -Infinity, high = Infinity } = {}) {
  let least = Infinity;
  let most = -Infinity;
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i];
    if (value < least && value !== -Infinity) least = value;
    if (value > most && value !== Infinity) most = value;
  }
  if (least > most) return [Math.max(0, low), Math.min(1, high)];
  const margin = (most - least) * 0.03 || Math.abs(most) * 0.1 || 0.1;
  return [Math.max(low, least - margin), Math.min(high, most + margin)];
}

/** 1, 2 or 5 times a power of ten, not below. */
function roundStep(width) {
  const power = 10 ** Math.floor(Math.log10(width));
  return [1, 2, 5, 10].find((factor) => factor * power >= width * (1 - 1e-9)) * power;
}

/** Limits of an axis by its kind. @param {string} kind */
export function limitsOf(kind) {
  if (kind === "share") return { low: 0, high: 1 };
  if (kind === "norm") return { low: 0 };
  return {};
}
