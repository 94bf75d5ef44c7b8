/** Weights and frequencies of all neurons of a dataset, layer after layer, and what is asked of them. */

import { COSINES, FREQUENCIES, axisNamed } from "../axes.js";
import { finite } from "../statistics.js";
import { LayerRun } from "./layer_run.js";
import { layerNumbers } from "./neurons.js";

/** @type {WeakMap<object, LayerRun>} by dataset */
const kept = new WeakMap();

/**
 * The reading of all layers, begun once and kept: its `done` layers have what `surveyAxes` names.
 *
 * @param {import("./dataset.js").Dataset} dataset
 * @returns {LayerRun}
 */
export function surveyOf(dataset) {
  if (!kept.has(dataset)) {
    const axes = surveyAxes(dataset);
    const read = async function* read(layer) {
      await layerNumbers(dataset, layer).need(axes);
    };
    kept.set(dataset, new LayerRun({ dataset, layers: dataset.layers, read }));
  }
  return kept.get(dataset);
}

/** What a survey reads: the cosines and, after a scan, all frequencies. */
export function surveyAxes(dataset) {
  return dataset.hasScan ? [...COSINES, ...FREQUENCIES] : COSINES;
}

/** A neuron found: `numbers` of its layer and the place in them. @typedef {{numbers:
 *   import("./neurons.js").LayerNumbers, i: number}} Found */

/**
 * Neurons whose gate and in disagree most of the time, although their weights are alike.
 *
 * As queries/unexpected_signs.sql: cos(w_gate, w_in) above 0.5, and more than half of the tokens in
 * the two combinations of unequal signs; those that disagree most come first.
 *
 * @param {import("./neurons.js").LayerNumbers[]} layers
 * @returns {(Found & {cosine: number, disagreement: number, posNeg: number, negPos: number})[]}
 */
export function unexpectedSigns(layers) {
  const found = [];
  for (const numbers of layers) {
    const cosine = numbers.values(axisNamed("cos_gate_in"));
    const posNeg = numbers.values(FREQUENCIES[1]);
    const negPos = numbers.values(FREQUENCIES[2]);
    for (let i = 0; i < numbers.n; i += 1) {
      const disagreement = posNeg[i] + negPos[i];
      if (Number.isFinite(cosine[i]) && cosine[i] > 0.5 && disagreement > 0.5) {
        found.push({ numbers, i, cosine: cosine[i], disagreement, posNeg: posNeg[i], negPos: negPos[i] });
      }
    }
  }
  // Layers and neurons stand in their order already.
  return found.sort((a, b) => b.disagreement - a.disagreement);
}

/**
 * The neurons with the highest and with the lowest cosine, as queries/extreme_cosines.sql.
 *
 * @param {import("./neurons.js").LayerNumbers[]} layers
 * @param {import("../axes.js").Axis} axis
 * @param {number} n of each
 * @returns {{highest: (Found & {value: number})[], lowest: (Found & {value: number})[]}}
 */
export function extremes(layers, axis, n) {
  const all = layers.flatMap((numbers) => {
    const values = numbers.values(axis);
    const sorted = finite(values).sort();
    const low = sorted[n - 1] ?? Infinity;
    const high = sorted.at(-n) ?? -Infinity;
    return Array.from(values, (value, i) => ({ numbers, i, value })).filter(
      ({ value }) => Number.isFinite(value) && (value <= low || value >= high),
    );
  });
  return {
    highest: all.toSorted((a, b) => b.value - a.value || before(a, b)).slice(0, n),
    lowest: all.toSorted((a, b) => a.value - b.value || before(a, b)).slice(0, n),
  };
}

function before(a, b) {
  return a.numbers.layer - b.numbers.layer || a.numbers.neuron[a.i] - b.numbers.neuron[b.i];
}
