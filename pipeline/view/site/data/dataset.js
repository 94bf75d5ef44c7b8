/** One dataset: its manifest, and the rows of its tables by neuron, layer and example. */

import { RANKINGS } from "../words.js";
import { ReadError } from "./errors.js";
import { lackingsOf } from "./lackings.js";
import { ParquetFile } from "./parquet.js";
import { Ranges, fetched, refused } from "./ranges.js";
import { Vocab } from "./vocab.js";

/**
 * Open the dataset at an address.
 *
 * @param {string} base address of its folder
 * @param {string} name as it is called on the page
 * @param {boolean} [live] whether its server runs the model
 * @returns {Promise<Dataset>}
 * @throws {ReadError} where there is none, or none that is complete
 */
export async function openDataset(base, name, live = false) {
  const folder = base.endsWith("/") ? base : `${base}/`;
  const url = new URL("manifest.json", new URL(folder, location.href));
  const response = await fetched(url);
  if (response.status === 404) {
    throw new ReadError(
      `There is no complete dataset at ${folder}: manifest.json, which a run writes last, is not ` +
        "there; see the address, or let `gatescope run` end",
    );
  }
  if (!response.ok) throw new ReadError(refused(url, response.status));
  let manifest;
  try {
    manifest = await response.json();
  } catch (error) {
    throw new ReadError(`${url} is no JSON (${error.message}); copy or make the dataset again`);
  }
  if (!manifest?.model || !manifest.tables || !manifest.files) {
    throw new ReadError(
      `${url} is not the manifest of a Gatescope dataset (it lacks model, tables or files); give ` +
        "the address of a folder that `gatescope run` has written",
    );
  }
  return new Dataset(url.href, name, live, manifest);
}

/** A complete dataset; what is read is kept. */
export class Dataset {
  /** @param {string} url of manifest.json @param {string} name @param {boolean} live */
  constructor(url, name, live, manifest) {
    this.base = new URL(".", url).href;
    this.name = name;
    this.live = live;
    this.manifest = manifest;
    /** @type {number[]} */
    this.layers = manifest.model.layers;
    /** What it lacks, and why. @type {Lack[]} */
    this.lackings = lackingsOf(manifest);
    this.ranges = new Ranges(this.base);
    /** @type {Map<string, any>} */
    this.kept = new Map();
  }

  /** Whether there are activations: sign_stats, examples and the corpus. */
  get hasScan() {
    return this.has("sign_stats");
  }

  /** Whether the dataset has a table. @param {string} table */
  has(table) {
    return table in this.manifest.tables;
  }

  /** What its model is called; where nobody said, as the dataset is. */
  get modelName() {
    return String(this.manifest.model.name ?? this.name);
  }

  /** What its lists may be ordered by. @returns {string[]} */
  get rankings() {
    const known = this.manifest.config?.scan?.rankings ?? RANKINGS;
    return this.manifest.imported?.act_lists ? [...known, "act"] : [...known];
  }

  /**
   * Why a table is not there, or why a column of it is null in some rows or all.
   *
   * @param {string} table
   * @param {string} [column]
   * @returns {string|null} null where the dataset does not say that it lacks it
   */
  lacks(table, column) {
    const found = this.lackings.find((lack) =>
      lack.table === table && (!lack.columns || lack.columns.includes(column)));
    return found?.why ?? null;
  }

  /** Neurons of a layer. @param {number} layer */
  nNeurons(layer) {
    return this.manifest.model.n_neurons[this.layers.indexOf(layer)];
  }

  /** Bytes over the wire so far. */
  bytesRead() {
    return this.ranges.bytesRead;
  }

  /** Whether there is such a neuron. @param {number} layer @param {number} neuron */
  hasNeuron(layer, neuron) {
    return this.layers.includes(layer) && neuron >= 0 && neuron < this.nNeurons(layer);
  }

  /** A neuron's row of `neurons`, or null. */
  async neuronRow(layer, neuron) {
    const rows = await this.rowsOfNeuron("neurons", layer, neuron);
    return rows[0] ?? null;
  }

  /** A neuron's rows of `sign_stats`, one a combination; none without a scan. */
  signStats(layer, neuron) {
    return this.rowsOfNeuron("sign_stats", layer, neuron);
  }

  /** A neuron's rows of `examples`, by combination, ranking and rank. */
  examples(layer, neuron) {
    return this.rowsOfNeuron("examples", layer, neuron);
  }

  /** A neuron's rows of `weight_tokens`, by weight, matrix, side and rank. */
  weightTokens(layer, neuron) {
    return this.rowsOfNeuron("weight_tokens", layer, neuron);
  }

  /** A layer's row of `layers`, or null. @param {number} layer */
  layerRow(layer) {
    return this.once(`layer ${layer}`, async () => {
      const [part] = this.partsOf("layers", layer);
      return part ? ((await this.open(part).rows(0, 1))[0] ?? null) : null;
    });
  }

  /** Every row of `layers`, sorted by layer. */
  async layersTable() {
    const rows = await Promise.all(this.layers.map((layer) => this.layerRow(layer)));
    return rows.filter((row) => row !== null).sort((a, b) => a.layer - b.layer);
  }

  /** A row of `corpus` with its tokens and text. @param {number} exampleId */
  example(exampleId) {
    return this.corpusRow(exampleId, (names) => names);
  }

  /** A row of `corpus` with its text, without its tokens. @param {number} exampleId */
  exampleText(exampleId) {
    return this.corpusRow(exampleId, (names) => names.filter((name) => name !== "input_ids"));
  }

  /** A row of `corpus` without its tokens and text. @param {number} exampleId */
  exampleSource(exampleId) {
    return this.corpusRow(exampleId, (names) =>
      names.filter((name) => name !== "input_ids" && name !== "text"),
    );
  }

  /** The vocabulary, read once. @returns {Promise<Vocab>} */
  vocab() {
    return this.once("vocab", async () => {
      const files = this.manifest.files.vocab ?? [];
      const parts = await Promise.all(
        files.map((file) => this.open(file).columns(["token_id", "token", "bytes"])),
      );
      const columns = { token: [], bytes: [] };
      for (const part of parts) {
        part.token_id.forEach((id, row) => {
          columns.token[id] = part.token[row];
          columns.bytes[id] = part.bytes[row];
        });
      }
      return new Vocab(columns);
    });
  }

  /** @returns {ParquetFile} */
  open(file) {
    const key = `file ${file.path}`;
    if (!this.kept.has(key)) this.kept.set(key, new ParquetFile(this.ranges.file(file), file.path));
    return this.kept.get(key);
  }

  /** What a promise gave the first time; what failed is tried again. */
  once(key, read) {
    if (!this.kept.has(key)) {
      const promise = read();
      this.kept.set(key, promise);
      promise.catch(() => this.kept.delete(key));
    }
    return this.kept.get(key);
  }

  partsOf(table, layer) {
    const folder = `${table}/layer=${layer}/`;
    return (this.manifest.files[table] ?? []).filter(({ path }) => path.startsWith(folder));
  }

  async rowsOfNeuron(table, layer, neuron) {
    const rows = await Promise.all(
      this.partsOf(table, layer).map(async (part) => {
        const file = this.open(part);
        const [start, end] = await file.rangeOf("neuron", neuron);
        return start === end ? [] : file.rows(start, end);
      }),
    );
    return rows.flat();
  }

  /**
   * Columns of the rows that a table has of a layer, in their order; null stays null.
   *
   * @param {string} table
   * @param {number} layer
   * @param {string[]} names
   * @returns {Promise<Record<string, any[]>>}
   */
  async tableColumns(table, layer, names) {
    const parts = await Promise.all(
      this.partsOf(table, layer).map((part) => this.open(part).columns(names)),
    );
    if (parts.length === 1) return parts[0];
    return Object.fromEntries(names.map((name) => [name, parts.flatMap((part) => part[name])]));
  }

  async corpusRow(exampleId, chosen) {
    const parts = this.manifest.files.corpus ?? [];
    const part = parts.findLast((one) => one.first_example <= exampleId);
    if (!part) throw new ReadError(`Example ${exampleId} is not in the corpus of ${this.name}`);
    const file = this.open(part);
    const row = exampleId - part.first_example;
    const [found] = await file.rows(row, row + 1, chosen(await file.columnNames()));
    if (found?.example_id !== exampleId) {
      throw new ReadError(
        `${part.path} does not hold example ${exampleId} where manifest.json says; copy or make ` +
          "the dataset again",
      );
    }
    return found;
  }
}

/** @typedef {import("./lackings.js").Lack} Lack */
