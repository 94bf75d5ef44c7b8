/** What drawings have to know of the screen: colours of its theme, size of its letters, widths. */

import { h } from "../../dom.js";

/**
 * A colour of the theme in force, for what is drawn without style sheets.
 *
 * @param {string} name of a custom property, such as `--ink`
 * @returns {string} as `rgb(…)`
 */
export function colourOf(name) {
  // Only where it is used is it known which of its two lights counts.
  const probe = h("span");
  probe.style.setProperty("color", `var(${name})`);
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** The size of a rem in CSS pixels. */
export function rem() {
  return parseFloat(getComputedStyle(document.documentElement).fontSize);
}

/**
 * Call a function when the theme changes, by choice or by the system.
 *
 * @param {() => void} change
 * @param {AbortSignal} signal ends it
 */
export function onTheme(change, signal) {
  const chosen = new MutationObserver(change);
  chosen.observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  signal.addEventListener("abort", () => chosen.disconnect());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", change, { signal });
}

/**
 * Call a function with an element's width in CSS pixels, now that it is shown and when it changes.
 *
 * @param {HTMLElement} element
 * @param {(width: number) => void} change
 * @param {AbortSignal} signal ends it
 */
export function onWidth(element, change, signal) {
  let last = 0;
  const observer = new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (!width || width === last) return;
    last = width;
    change(width);
  });
  observer.observe(element);
  signal.addEventListener("abort", () => observer.disconnect());
}
