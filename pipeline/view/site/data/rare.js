/** Sign combinations that are rare but strong where they occur: queries/rare_combinations.sql. */

import { FREQUENCIES, axisNamed } from "../axes.js";
import { COMBOS } from "../words.js";
import { expectedBytes, readInTurns } from "./group_reading.js";
import { LayerRun } from "./layer_run.js";
import { layerNumbers } from "./neurons.js";

/** A combination is rare below this share of the tokens. */
export const RARE = 0.01;
/** Of the strongest so many are kept. */
export const N_RARE = 20;
const COLUMNS = ["neuron", "combo", "ranking", "rank", "post_value"];

/** A rare combination: its neuron, and the row of `examples` where post is largest.
 * @typedef {{numbers: import("./neurons.js").LayerNumbers, i: number, combo: string,
 *   post: number, file: import("./parquet.js").ParquetFile, row: number}} Rare */

/** @type {WeakMap<object, RareSearch>} by dataset */
const kept = new WeakMap();

/**
 * The search in a dataset, kept from page to page.
 *
 * @param {import("./dataset.js").Dataset} dataset
 */
export function rareOf(dataset) {
  if (!kept.has(dataset)) kept.set(dataset, new RareSearch(dataset));
  return kept.get(dataset);
}

/** The search of one dataset, layer by layer; what was found stays. */
class RareSearch {
  /** @param {import("./dataset.js").Dataset} dataset */
  constructor(dataset) {
    this.dataset = dataset;
    /** The strongest so far. @type {Rare[]} */
    this.found = [];
    const layers = dataset.layers.filter((layer) => dataset.partsOf("examples", layer).length);
    this.run = new LayerRun({ dataset, layers, read: (layer) => this.read(layer) });
  }

  /** Bytes that it will read of all layers, by those of its first one. */
  async expected() {
    return (await expectedBytes(this.dataset, "examples", this.run.layers, [COLUMNS]))[0];
  }

  async *read(layer) {
    const numbers = layerNumbers(this.dataset, layer);
    await numbers.need([...FREQUENCIES, axisNamed("cos_in_out")]);
    const isRare =
      new Map(FREQUENCIES.map((axis, combo) => [COMBOS[combo], rareIn(numbers.values(axis))]));
    for (const part of this.dataset.partsOf("examples", layer)) {
      const file = this.dataset.open(part);
      const groups = (await file.rowGroups("neuron", COLUMNS)).filter(({ low, high }) =>
        numbers.neuron.some((neuron, i) =>
          neuron >= low && neuron <= high && COMBOS.some((combo) => isRare.get(combo)[i])));
      yield* readInTurns(groups, async ({ start, end }) => {
        this.collect(await file.columns(COLUMNS, start, end), start, { numbers, isRare, file });
      });
    }
  }

  collect({ neuron, combo, ranking, rank, post_value: post }, start, { numbers, isRare, file }) {
    for (let row = 0; row < rank.length; row += 1) {
      if (rank[row] !== 0 || ranking[row] !== "post") continue;
      const i = numbers.placeOf(neuron[row]);
      const weakest = this.found[N_RARE - 1];
      if (!isRare.get(combo[row])?.[i]) continue;
      if (weakest && size(post[row]) < size(weakest.post)) continue;
      this.found.push({ numbers, i, combo: combo[row], post: post[row], file, row: start + row });
      this.found.sort(before);
      this.found.length = Math.min(N_RARE, this.found.length);
    }
  }

  /**
   * Where a combination is strongest: the token, the example and the position.
   *
   * @param {Rare} rare
   * @returns {Promise<{peak_token: number, example_id: number, position: number}>}
   */
  async placeOf({ file, row }) {
    const [place] = await file.rows(row, row + 1, ["peak_token", "example_id", "position"]);
    return place;
  }
}

/** Whether a combination occurs, but rarely. @param {Float64Array} frequencies */
function rareIn(frequencies) {
  return Uint8Array.from(frequencies, (frequency) => Number(frequency > 0 && frequency < RARE));
}

/** As SQL orders magnitudes: what is no number is above all, nothing below. */
function size(post) {
  if (post === null) return -1;
  return Number.isNaN(post) ? Infinity : Math.abs(post);
}

// Strongest first; ties in the order of the tables, combinations by their names.
function before(a, b) {
  return (
    size(b.post) - size(a.post) ||
    a.numbers.layer - b.numbers.layer ||
    a.numbers.neuron[a.i] - b.numbers.neuron[b.i] ||
    (a.combo < b.combo ? -1 : 1)
  );
}
