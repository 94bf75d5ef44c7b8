/** Reading layer after layer: with progress, to be stopped, with a pause before it grows large. */

import { ReadError } from "./errors.js";

// What a page may read by itself.
const PAUSE_EVERY = 32e6;

/** One job over several layers; what was read stays when it is stopped. */
export class LayerRun {
  /**
   * @param {object} options
   * @param {import("./dataset.js").Dataset} options.dataset whose bytes are counted
   * @param {number[]} options.layers
   * @param {(layer: number) => AsyncGenerator<number>} options.read reads one layer; where it takes
   *   long it yields the share of the layer that is read, and may be left there for a while
   */
  constructor({ dataset, layers, read }) {
    this.dataset = dataset;
    this.layers = layers;
    this.read = read;
    /** @type {"ready"|"running"|"paused"|"stopped"|"done"} */
    this.state = "ready";
    /** Layers that are read. @type {number[]} */
    this.done = [];
    /** Layers that cannot be read, and why. @type {{layer: number, message: string}[]} */
    this.problems = [];
    /** Bytes over the wire for this job. */
    this.bytes = 0;
    this.allowed = PAUSE_EVERY;
    this.next = 0;
    /** The layer that is being read, and how much of it is. */
    this.current = null;
    this.share = 0;
    this.loop = Promise.resolve();
    /** @type {Set<() => void>} */
    this.listeners = new Set();
  }

  /** Bytes that the rest will take, by what went before; null where nothing did. */
  bytesLeft() {
    const read = this.done.length + this.share;
    const left = this.layers.length - this.next - this.share;
    return read > 0 ? (this.bytes / read) * left : null;
  }

  /** Call a function at every change. @param {() => void} change @param {AbortSignal} signal */
  listen(change, signal) {
    this.listeners.add(change);
    signal.addEventListener("abort", () => this.listeners.delete(change));
  }

  /** Begin or go on; another 32 MB are allowed. @returns {Promise<void>} when it rests */
  start() {
    if (this.state === "running" || this.state === "done") return this.loop;
    this.allowed = this.bytes + PAUSE_EVERY;
    this.become("running");
    this.loop = this.loop.then(() => this.goOn());
    return this.loop;
  }

  /** Stop after what is being fetched. */
  stop() {
    if (this.state === "running") this.become("stopped");
  }

  /** Stop because nobody looks: it may start again by itself. */
  leave() {
    if (this.state === "running") this.become("ready");
  }

  async goOn() {
    while (this.next < this.layers.length && this.state === "running") {
      if (this.bytes >= this.allowed) {
        this.become("paused");
        return;
      }
      await this.step(this.layers[this.next]);
      this.changed();
      // A turn for the page.
      await new Promise((resolve) => setTimeout(resolve));
    }
    if (this.next === this.layers.length) this.become("done");
  }

  async step(layer) {
    const before = this.dataset.bytesRead();
    this.current ??= this.read(layer);
    try {
      const { done, value } = await this.current.next();
      this.share = done ? 0 : value;
      if (done) this.done.push(layer);
      else return;
    } catch (error) {
      if (!(error instanceof ReadError)) throw error;
      this.problems.push({ layer, message: error.message });
    } finally {
      this.bytes += this.dataset.bytesRead() - before;
    }
    this.current = null;
    this.share = 0;
    this.next += 1;
  }

  become(state) {
    this.state = state;
    this.changed();
  }

  changed() {
    for (const change of this.listeners) change();
  }
}
