/** All that the dataset holds of a neuron, read at once. */

import { parsedNeuron } from "../router.js";
import { ReadError } from "./errors.js";

/**
 * Begin to read a neuron; each promise may be awaited when it is needed.
 *
 * @param {object} dataset
 * @param {{layer: number, neuron: number}} here
 * @returns {{row: Promise<object>, stats: Promise<object[]>, examples: Promise<object[]>,
 *   tokens: Promise<object[]>, vocab: Promise<object>}}
 * @throws {ReadError} where there is no such neuron
 */
export function beginReading(dataset, here) {
  requireNeuron(dataset, here);
  const { layer, neuron } = here;
  const rowsOf = (table, read) => (dataset.has(table) ? read() : Promise.resolve([]));
  const reading = {
    row: dataset.neuronRow(layer, neuron).then((row) => row ?? refuse(missingRow(dataset, here))),
    stats: dataset.signStats(layer, neuron),
    examples: rowsOf("examples", () => dataset.examples(layer, neuron)),
    tokens: rowsOf("weight_tokens", () => dataset.weightTokens(layer, neuron)),
    vocab: dataset.vocab(),
  };
  // What is awaited later may fail before.
  for (const promise of Object.values(reading)) promise.catch(() => {});
  return reading;
}

/** The same, when all of it is there. */
export async function readNeuron(dataset, here) {
  const reading = beginReading(dataset, here);
  const names = Object.keys(reading);
  const values = await Promise.all(Object.values(reading));
  return { dataset, ...Object.fromEntries(names.map((name, i) => [name, values[i]])) };
}

/**
 * The layer and index that a text such as `31.9634` names, whether the dataset has them or not.
 *
 * @throws {ReadError} where it names none
 */
export function namedNeuron(dataset, text) {
  const here = parsedNeuron(text);
  if (here) return here;
  const example = `${dataset.layers.at(-1)}.0`;
  throw new ReadError(`"${text}" names no neuron; write layer.neuron, such as ${example}`);
}

/** @throws {ReadError} where the dataset has no such neuron */
export function requireNeuron(dataset, { layer, neuron }) {
  const { layers, name } = dataset;
  if (!layers.includes(layer)) {
    throw new ReadError(`${name} has no layer ${layer}; its layers are ${layers.join(", ")}`);
  }
  if (!dataset.hasNeuron(layer, neuron)) {
    throw new ReadError(
      `${name} has no neuron ${layer}.${neuron}; layer ${layer} has ${layer}.0 to ` +
        `${layer}.${dataset.nNeurons(layer) - 1}`);
  }
}

function missingRow(dataset, { layer, neuron }) {
  return new ReadError(
    `The tables of ${dataset.name} lack neuron ${layer}.${neuron}, which its manifest counts; ` +
      "copy or make the dataset again");
}

function refuse(error) {
  throw error;
}
