/** Colours of the theme in force, for what is drawn without style sheets. */

/** The value of a custom property, such as `--ink`. @param {string} name */
export function colourOf(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
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
