/** Texts through the model that runs beside the dataset. */

import { ReadError } from "./errors.js";
import { fetched } from "./ranges.js";

/** Characters of a text that may be tried (pipeline/view/live.py). */
export const MAX_CHARACTERS = 2000;

/**
 * What a neuron does at each token of a text, or which neurons of a layer react most to it.
 *
 * @param {object} dataset
 * @param {{text: string, layer: number, neuron?: number}} question
 * @param {AbortSignal} signal
 * @returns {Promise<object>} the answer; numbers that are not finite are null in it
 * @throws {ReadError} with the server's sentence where it refuses
 */
export async function ask(dataset, question, signal) {
  const url = new URL("live", dataset.base);
  const response = await fetched(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(question),
    signal,
  });
  let answer;
  try {
    answer = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ReadError(
      `${url} answered ${response.status} and no JSON; see that the server runs with --model`);
  }
  if (!response.ok) {
    throw new ReadError(String(answer.error ?? `The server answered ${response.status}`));
  }
  return answer;
}
