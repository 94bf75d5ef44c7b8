/** Which neurons of a layer are chosen: by class, by ranges of two axes, by index. */

/** @typedef {[number|null, number|null]} Range from and to, both included; null is open */

/**
 * A range out of an address or a field: `-0.5:0.2`, `:0.2`, `0.9:`.
 *
 * @param {string|null|undefined} text
 * @returns {Range|null} null where it bounds nothing
 */
export function parsedRange(text) {
  const match = /^([^:]*):([^:]*)$/.exec(text ?? "");
  if (!match) return null;
  const [low, high] = [match[1], match[2]].map(parsedNumber);
  return low === null && high === null ? null : [low, high];
}

/** A number as people write it, or null. @param {string} text */
export function parsedNumber(text) {
  const plain = text.trim().replace("−", "-").replace(/%$/, "");
  if (!plain) return null;
  const value = Number(plain) / (text.trim().endsWith("%") ? 100 : 1);
  return Number.isFinite(value) ? value : null;
}

/** The range as it stands in an address. @param {Range|null} range */
export function rangeText(range) {
  return range && `${range[0] ?? ""}:${range[1] ?? ""}`;
}

/** Whether a number lies in a range; no number lies in none. @param {Range|null} range */
export function isIn(range, value) {
  if (!range) return true;
  if (!Number.isFinite(value)) return false;
  return (range[0] === null || value >= range[0]) && (range[1] === null || value <= range[1]);
}

/**
 * Indices of neurons as people list them: `9634`, `31.9634`, `5, 9, 100-200`.
 *
 * @param {string} text
 * @returns {((neuron: number) => boolean)|null} null where the text lists none
 */
export function neuronList(text) {
  const spans = text.split(/[\s,;]+/).filter(Boolean).map((part) => {
    const match = /^(?:\d+\.)?(\d+)(?:[-–](\d+))?$/.exec(part);
    return match && [Number(match[1]), Number(match[2] ?? match[1])];
  });
  if (!spans.length || spans.includes(null)) return null;
  return (neuron) => spans.some(([from, to]) => neuron >= from && neuron <= to);
}
