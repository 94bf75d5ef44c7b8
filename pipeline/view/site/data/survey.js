/** Weights and frequencies of all neurons of a dataset, layer after layer, and what they show. */

import { COSINES, FREQUENCIES, axisNamed } from "../axes.js";
import { correlation, finite } from "../statistics.js";
import { LayerRun } from "./layer_run.js";
import { layerNumbers } from "./neurons.js";

const X = axisNamed("cos_in_out");
const Y = axisNamed("frequency_gate_pos");
// Of the highest and of the lowest cosines so many are kept.
const N_EXTREMES = 20;

/** A neuron: the numbers of its layer and its place in them.
 * @typedef {{numbers: import("./neurons.js").LayerNumbers, i: number}} Found */

/** @type {WeakMap<object, {run: LayerRun, findings: Findings}>} by dataset */
const kept = new WeakMap();

/**
 * The reading of all layers, kept from page to page.
 *
 * @param {import("./dataset.js").Dataset} dataset
 * @returns {{run: LayerRun, findings: Findings}}
 */
export function surveyOf(dataset) {
  if (!kept.has(dataset)) {
    const axes = dataset.hasScan ? [...COSINES, ...FREQUENCIES] : COSINES;
    const findings = new Findings(dataset.hasScan);
    const read = async function* read(layer) {
      const numbers = layerNumbers(dataset, layer);
      await numbers.need(axes);
      findings.add(numbers);
    };
    kept.set(dataset, { run: new LayerRun({ dataset, layers: dataset.layers, read }), findings });
  }
  return kept.get(dataset);
}

/** What the layers that are read show. */
class Findings {
  /** @param {boolean} hasScan whether there are frequencies */
  constructor(hasScan) {
    this.hasScan = hasScan;
    /** @type {import("./neurons.js").LayerNumbers[]} */
    this.layers = [];
    /** Of cos(w_in, w_out) and the frequency of gate > 0, by layer.
     * @type {Map<number, import("../statistics.js").Correlation>} */
    this.correlations = new Map();
    /** As queries/unexpected_signs.sql: gate and in disagree on most tokens, although cos(w_gate,
     * w_in) is above 0.5. @type {(Found & {disagreement: number})[]} */
    this.unexpected = [];
    /** As queries/extreme_cosines.sql of cos(w_in, w_out). @type {(Found & {value: number})[]} */
    this.highest = [];
    this.lowest = [];
  }

  /** Neurons of the layers that are read. */
  get n() {
    return this.layers.reduce((sum, numbers) => sum + numbers.n, 0);
  }

  /** @param {import("./neurons.js").LayerNumbers} numbers */
  add(numbers) {
    this.layers.push(numbers);
    this.addExtremes(numbers);
    if (!this.hasScan) return;
    this.correlations.set(numbers.layer, correlation(numbers.values(X), numbers.values(Y)));
    const cosine = numbers.values(axisNamed("cos_gate_in"));
    const posNeg = numbers.values(FREQUENCIES[1]);
    const negPos = numbers.values(FREQUENCIES[2]);
    for (let i = 0; i < numbers.n; i += 1) {
      const disagreement = posNeg[i] + negPos[i];
      if (Number.isFinite(cosine[i]) && cosine[i] > 0.5 && disagreement > 0.5) {
        this.unexpected.push({ numbers, i, disagreement });
      }
    }
    this.unexpected.sort((a, b) => b.disagreement - a.disagreement || before(a, b));
  }

  addExtremes(numbers) {
    const values = numbers.values(X);
    const sorted = finite(values).sort();
    const low = sorted[N_EXTREMES - 1] ?? Infinity;
    const high = sorted[sorted.length - N_EXTREMES] ?? -Infinity;
    const ends = [];
    for (let i = 0; i < numbers.n; i += 1) {
      const value = values[i];
      if (!Number.isFinite(value)) continue;
      if (value <= low || value >= high) ends.push({ numbers, i, value });
    }
    const best = (found, sign) =>
      [...found, ...ends]
        .sort((a, b) => sign * (b.value - a.value) || before(a, b))
        .slice(0, N_EXTREMES);
    this.highest = best(this.highest, 1);
    this.lowest = best(this.lowest, -1);
  }

  /** Whether layers are read, and no neuron of them has a number of one of these axes.
   * @param {import("../axes.js").Axis[]} axes */
  areUnknown(axes) {
    return this.layers.length > 0 &&
      axes.some((axis) => !this.layers.some((numbers) => numbers.isKnown(axis)));
  }

  /** The correlation over the neurons of all layers that are read. */
  pooled() {
    const joined = (axis) => {
      const all = new Float64Array(this.n);
      let at = 0;
      for (const numbers of this.layers) {
        all.set(numbers.values(axis), at);
        at += numbers.n;
      }
      return all;
    };
    return correlation(joined(X), joined(Y));
  }
}

function before(a, b) {
  return a.numbers.layer - b.numbers.layer || a.numbers.neuron[a.i] - b.numbers.neuron[b.i];
}
