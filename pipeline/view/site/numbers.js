/** Numbers as people read them. */

const WHOLE = new Intl.NumberFormat("en-US");

/** 12,345, `–` where there is none. @param {number|null} value */
export function count(value) {
  return value === null || value === undefined ? "–" : WHOLE.format(value);
}

/**
 * Three significant digits, `–` where there is none: 0.682, 12.3, 1.2e-5.
 *
 * @param {number|null} value NaN and infinities are said
 */
export function short(value) {
  if (value === null || value === undefined) return "–";
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return signed(value.toExponential(2));
  const digits = size >= 100 ? 1 : size >= 10 ? 2 : 3;
  return signed(value.toFixed(digits));
}

/** A share as a percentage; one that is not zero is never shown as zero. */
export function percent(share) {
  if (share === null || share === undefined || Number.isNaN(share)) return "–";
  const text = `${(share * 100).toFixed(2)}%`;
  if (share > 0 && text === "0.00%") return "<0.01%";
  if (share < 1 && text === "100.00%") return ">99.99%";
  return text;
}

/** Bytes in the unit that fits: 1.2 MB. @param {number} n */
export function bytes(n) {
  if (n < 1e3) return `${n} B`;
  if (n < 1e6) return `${(n / 1e3).toFixed(0)} kB`;
  return n < 1e9 ? `${(n / 1e6).toFixed(1)} MB` : `${(n / 1e9).toFixed(1)} GB`;
}

/** With a minus sign in place of a hyphen. */
function signed(text) {
  return text.replace(/^-/, "−").replace("e-", "e−").replace("e+", "e");
}
