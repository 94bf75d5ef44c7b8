/** Where examples come from: read when one comes into view, each once. */

import { fill, h } from "../../dom.js";

// Columns of the corpus that say nothing of where a text comes from.
const OWN = new Set(["example_id", "n_tokens", "input_ids", "text"]);
const LONGEST = 120;

/** Fills in the corpus's own columns of the examples that are seen. */
export class Sources {
  /** @param {object} dataset @param {AbortSignal} signal of the page */
  constructor(dataset, signal) {
    this.dataset = dataset;
    this.read = new Map();
    this.places = new Map();
    this.observer = new IntersectionObserver((entries) => {
      for (const { isIntersecting, target } of entries) if (isIntersecting) this.show(target);
    }, { rootMargin: "200px" });
    signal.addEventListener("abort", () => this.observer.disconnect());
  }

  /** @param {HTMLElement} item @param {number} exampleId @param {HTMLElement} place to fill */
  watch(item, exampleId, place) {
    this.watchText(item, exampleId, place, null);
  }

  /**
   * The same with the text.
   *
   * @param {HTMLElement} item
   * @param {number} exampleId
   * @param {HTMLElement} place to fill
   * @param {((text: string|null) => void)|null} show what is done with the text; null: nothing
   */
  watchText(item, exampleId, place, show) {
    if (!this.dataset.has("corpus")) return;
    this.places.set(item, { exampleId, place, show });
    this.observer.observe(item);
  }

  async show(item) {
    this.observer.unobserve(item);
    const { exampleId, place, show } = this.places.get(item);
    this.places.delete(item);
    const key = `${exampleId} ${show ? "text" : ""}`;
    if (!this.read.has(key)) {
      const { dataset } = this;
      this.read.set(key, show ? dataset.exampleText(exampleId) : dataset.exampleSource(exampleId));
    }
    try {
      const row = await this.read.get(key);
      fill(place, describedSource(row));
      show?.(row.text);
    } catch (error) {
      fill(place, h("span", { class: "problem" }, error.message));
    }
  }
}

/** The corpus's own columns; addresses are links. @param {object} row of `corpus` */
function describedSource(row) {
  return Object.entries(row)
    .filter(([name, value]) => !OWN.has(name) && value !== null && value !== "")
    .map(([name, value]) => [h("span", {}, `${name}: `, linked(String(value))), " "]);
}

function linked(text) {
  const shown = text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
  let url;
  try {
    url = new URL(text);
  } catch {
    return h("bdi", {}, shown);
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") return h("bdi", {}, shown);
  const attributes = { href: url.href, rel: "noopener noreferrer nofollow", target: "_blank" };
  return h("a", attributes, h("bdi", {}, shown));
}
