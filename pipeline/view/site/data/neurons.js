/** The numbers of every neuron of a layer, column by column as they are asked for. */

import { columnsOf } from "../axes.js";
import { COMBOS } from "../words.js";
import { ReadError } from "./errors.js";
import { whyOf } from "./lackings.js";

const N_TOKENS = "n_tokens";
const COUNT = "count";
/** The class of a neuron that has none. */
export const NO_CLASS = "no class";
const N_TOKENS_COLUMN = "n_tokens all";

/** @type {WeakMap<object, Map<number, LayerNumbers>>} by dataset and layer */
const kept = new WeakMap();

/**
 * The numbers of a layer, the same object each time.
 *
 * @param {import("./dataset.js").Dataset} dataset
 * @param {number} layer
 */
export function layerNumbers(dataset, layer) {
  if (!kept.has(dataset)) kept.set(dataset, new Map());
  const layers = kept.get(dataset);
  if (!layers.has(layer)) layers.set(layer, new LayerNumbers(dataset, layer));
  return layers.get(layer);
}

/**
 * Where 95% of the cosines of random vectors lie in a layer; null where the dataset does not tell.
 *
 * @param {import("./dataset.js").Dataset} dataset
 * @param {number} layer
 * @returns {Promise<[number, number]|null>}
 */
export async function randomnessOf(dataset, layer) {
  try {
    const row = await dataset.layerRow(layer);
    return Number.isFinite(row?.randomness_low) ? [row.randomness_low, row.randomness_high] : null;
  } catch (error) {
    // A chart can do without.
    if (error instanceof ReadError) return null;
    throw error;
  }
}

/**
 * Axes of which the first layer has no number, by their columns and classes; nothing is read where
 * the dataset lacks nothing of them.
 *
 * @param {import("./dataset.js").Dataset} dataset
 * @param {Axis[]} axes
 * @returns {Promise<{axes: Set<Axis>, hasClasses: boolean}>}
 */
export async function unknownOf(dataset, axes) {
  const lacking = axes.filter((axis) => whyOf(dataset, columnsOf(axis)));
  if (!lacking.length && !dataset.lacks("neurons", "io_class")) {
    return { axes: new Set(), hasClasses: true };
  }
  const numbers = layerNumbers(dataset, dataset.layers[0]);
  await numbers.need(lacking);
  return {
    axes: new Set(lacking.filter((axis) => !numbers.isKnown(axis))),
    hasClasses: numbers.hasClasses,
  };
}

/** Of one layer: ids, classes, and as Float64Array any axis (axes.js), NaN where there is none. */
export class LayerNumbers {
  /** @param {import("./dataset.js").Dataset} dataset @param {number} layer */
  constructor(dataset, layer) {
    this.dataset = dataset;
    this.layer = layer;
    /** Neurons read; known after `need`. */
    this.n = 0;
    /** @type {Int32Array} index of each neuron */
    this.neuron = new Int32Array(0);
    /** @type {string[]} the classes that occur */
    this.classNames = [];
    /** @type {Uint16Array} for each neuron the place of its class in `classNames` */
    this.classes = new Uint16Array(0);
    /** @type {Map<string, Float64Array>} */
    this.columns = new Map();
    /** @type {Map<import("../axes.js").Axis, Float64Array>} made out of the columns */
    this.made = new Map();
    /** @type {Map<Axis, boolean>} */
    this.known = new Map();
    // Where nothing was counted, a frequency is the count of one token.
    this.isCounted = dataset.lacks("sign_stats", COUNT) === null;
    this.isBegun = false;
    this.reading = Promise.resolve();
  }

  /**
   * Read what these axes are made of and is not there yet; ids and classes come at the first time.
   *
   * @param {import("../axes.js").Axis[]} axes
   * @throws {import("./errors.js").ReadError} where a file is missing or damaged
   */
  need(axes) {
    // One after the other: what two askers want is read once.
    const turn = this.reading.then(() => this.read(axes));
    this.reading = turn.catch(() => {});
    return turn;
  }

  /**
   * The numbers of an axis that was asked for by `need`, the same array each time.
   *
   * @param {import("../axes.js").Axis} axis
   * @returns {Float64Array} of the `n` neurons
   */
  values(axis) {
    if (!this.made.has(axis)) this.made.set(axis, axis.of((column) => this.columns.get(column)));
    return this.made.get(axis);
  }

  /** Whether an axis has been read. @param {import("../axes.js").Axis} axis */
  has(axis) {
    return axis.columns.every((column) => this.columns.has(column));
  }

  /** Whether a neuron at least has a finite number of an axis. @param {Axis} axis that was read */
  isKnown(axis) {
    if (!this.known.has(axis)) this.known.set(axis, this.values(axis).some(Number.isFinite));
    return this.known.get(axis);
  }

  /** Whether a neuron at least has a class. */
  get hasClasses() {
    return this.classNames.some((name) => name !== NO_CLASS);
  }

  /** The place of a neuron among the `n`, or -1. @param {number} neuron */
  placeOf(neuron) {
    return this.neuron[neuron] === neuron ? neuron : this.neuron.indexOf(neuron);
  }

  /** The class of the neuron at a place. @param {number} i */
  classOf(i) {
    return this.classNames[this.classes[i]];
  }

  async read(axes) {
    const wanted = [...new Set(axes.flatMap((axis) => axis.columns))].filter(
      (column) => !this.columns.has(column),
    );
    const ofNeurons = wanted.filter((column) => !column.includes(" "));
    const ofSigns = wanted.filter((column) => column.includes(" "));
    const { dataset, layer } = this;
    const isFirst = !this.isBegun;
    const first = isFirst ? ["neuron", "io_class"] : [];
    const asked = new Set(ofSigns.map((column) => column.split(" ")[0]));
    const names = [...asked].filter((name) => this.isCounted || name !== N_TOKENS);
    const stored = names.map((name) => (this.isCounted || name !== COUNT ? name : "frequency"));
    const [weights, signs] = await Promise.allSettled([
      isFirst || ofNeurons.length
        ? dataset.tableColumns("neurons", layer, [...first, ...ofNeurons])
        : null,
      names.length
        ? dataset.tableColumns("sign_stats", layer, ["neuron", "combo", ...stored])
        : null,
    ]);
    if (weights.status === "rejected") throw weights.reason;
    if (isFirst) this.begin(weights.value);
    for (const name of ofNeurons) this.columns.set(name, floats(weights.value[name]));
    // Weights can be shown without activations.
    if (signs.status === "rejected") throw signs.reason;
    names.forEach((name, i) => this.spread(name, signs.value, stored[i]));
    if (names.length < asked.size) {
      this.columns.set(N_TOKENS_COLUMN, new Float64Array(this.n).fill(1));
    }
  }

  begin(columns) {
    this.isBegun = true;
    this.n = columns.neuron.length;
    this.neuron = Int32Array.from(columns.neuron);
    const codes = new Map();
    this.classes = Uint16Array.from(columns.io_class, (name) => {
      const own = name ?? NO_CLASS;
      if (!codes.has(own)) codes.set(own, codes.size);
      return codes.get(own);
    });
    this.classNames = [...codes.keys()];
  }

  // All combinations of a column come with it; the number of tokens is the same in all.
  spread(name, signs, stored) {
    const keys = name === N_TOKENS
      ? COMBOS.map(() => N_TOKENS_COLUMN)
      : COMBOS.map((combo) => `${name} ${combo}`);
    for (const key of keys) this.columns.set(key, new Float64Array(this.n).fill(NaN));
    const byCombo = new Map(COMBOS.map((combo, i) => [combo, this.columns.get(keys[i])]));
    const values = signs[stored];
    const isDense = this.neuron.every((neuron, i) => neuron === i);
    const places = isDense ? null : new Map([...this.neuron].map((neuron, i) => [neuron, i]));
    for (let row = 0; row < values.length; row += 1) {
      const neuron = signs.neuron[row];
      const place = places ? places.get(neuron) : neuron;
      const column = byCombo.get(signs.combo[row]);
      // Rows of a neuron that `neurons` does not hold have no place here.
      if (column && place < this.n) column[place] = values[row] ?? NaN;
    }
  }
}

function floats(values) {
  return Float64Array.from(values, (value) => value ?? NaN);
}

/** @typedef {import("../axes.js").Axis} Axis */
