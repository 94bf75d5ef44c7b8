/** Row groups of a table of lists: how much a search reads of them, and their reading in turns. */

// Row groups that are fetched in one go.
const AT_ONCE = 16;

/**
 * Bytes of some columns over layers, judged by the first of them; the footers are read for it.
 *
 * @param {import("./dataset.js").Dataset} dataset
 * @param {string} table
 * @param {number[]} layers that have parts of the table; for none it is 0
 * @param {string[][]} choices columns
 * @returns {Promise<number[]>} for each choice of columns, footers included
 */
export async function expectedBytes(dataset, table, layers, choices) {
  if (!layers.length) return choices.map(() => 0);
  const sizeOf = (layer) =>
    dataset.partsOf(table, layer).reduce((sum, { bytes }) => sum + bytes, 0);
  const factor = layers.reduce((sum, layer) => sum + sizeOf(layer), 0) / sizeOf(layers[0]);
  const files = dataset.partsOf(table, layers[0]).map((part) => dataset.open(part));
  const before = dataset.bytesRead();
  await Promise.all(files.map((file) => file.metadata()));
  const footers = dataset.bytesRead() - before;
  return Promise.all(choices.map(async (columns) => {
    const groups = await Promise.all(files.map((file) => file.rowGroups("neuron", columns)));
    return groups.flat().reduce((sum, { bytes }) => sum + bytes, footers) * factor;
  }));
}

/**
 * Reads row groups, some at a time, and yields the share that is read before it goes on.
 *
 * @template Group
 * @param {Group[]} groups
 * @param {(group: Group) => Promise<void>} read
 * @returns {AsyncGenerator<number>}
 */
export async function* readInTurns(groups, read) {
  for (let from = 0; from < groups.length; from += AT_ONCE) {
    if (from) yield from / groups.length;
    await Promise.all(groups.slice(from, from + AT_ONCE).map(read));
  }
}
