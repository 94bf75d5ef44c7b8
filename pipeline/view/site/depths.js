/** How far down each entry of the history was when it was left, so that Back leads there again. */

const depths = new Map();
// The entry that is shown; none while a page is read, which may move what is there until then.
let entry = null;

history.scrollRestoration = "manual";
addEventListener("scroll", () => {
  if (entry !== null) depths.set(entry, scrollY);
});

/** Begin an entry. @returns {number|null} how far down it was left; null: it is new */
export function enter() {
  entry = null;
  const depth = depths.get(history.state?.entry);
  if (depth !== undefined) return depth;
  history.replaceState({ entry: crypto.getRandomValues(new Uint32Array(1))[0] }, "");
  return null;
}

/**
 * Scroll to where the page of the entry begins, now or when enough of it is there.
 *
 * @param {number} depth in CSS pixels
 * @param {AbortSignal} signal of the page
 */
export function settle(depth, signal) {
  entry = history.state.entry;
  scrollTo(0, depth);
  const isThere = () => Math.ceil(scrollY) >= Math.floor(depth);
  if (isThere()) return;
  const growth = new ResizeObserver(() => {
    scrollTo(0, depth);
    if (isThere()) growth.disconnect();
  });
  growth.observe(document.body);
  signal.addEventListener("abort", () => growth.disconnect());
  // Who moves has another place in mind.
  for (const kind of ["wheel", "keydown", "pointerdown"]) {
    addEventListener(kind, () => growth.disconnect(), { once: true, signal });
  }
}
