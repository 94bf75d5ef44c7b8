/** Two fields for the bounds of an axis. */

import { h } from "../dom.js";
import { parsedNumber } from "./conditions.js";

/**
 * @param {object} options
 * @param {string} options.label of the pair
 * @param {import("./conditions.js").Range|null} options.range
 * @param {(range: import("./conditions.js").Range|null) => void} options.onchange
 * @param {boolean} [options.isShare] percentages, though the range is a share
 * @param {boolean} [options.isDisabled] there is nothing to bound; the page says why
 * @returns {HTMLElement} a fieldset
 */
export function rangeFields({ label, range, onchange, isShare = false, isDisabled = false }) {
  const unit = isShare ? 100 : 1;
  const text = (value) => {
    if (value === null || value === undefined) return null;
    return Number((value * unit).toPrecision(6));
  };
  const field = (name, value) =>
    h("input", {
      type: "text", inputmode: "decimal", size: "7", autocomplete: "off", value: text(value),
      "aria-label": `${label}: ${name}${isShare ? ", in percent" : ""}`, placeholder: name,
    });
  const low = field("least", range?.[0]);
  const high = field("most", range?.[1]);
  const read = (input) => {
    const value = parsedNumber(input.value.replace("%", ""));
    input.setAttribute("aria-invalid", String(value === null && input.value.trim() !== ""));
    return value === null ? null : value / unit;
  };
  const change = () => {
    const found = [read(low), read(high)];
    onchange(found[0] === null && found[1] === null ? null : found);
  };
  low.addEventListener("change", change);
  high.addEventListener("change", change);
  return h("fieldset", { class: "range", disabled: isDisabled },
    h("legend", {}, label, isShare && " (%)"),
    low, h("span", { "aria-hidden": "true" }, "to"), high);
}
