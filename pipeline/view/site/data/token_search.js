/** Neurons by token: where it is the peak of examples, or where weights are closest to it. */

import { expectedBytes, readInTurns } from "./group_reading.js";
import { LayerRun } from "./layer_run.js";
import { layerNumbers } from "./neurons.js";

/** What is read of each table: the tokens first, the rest only of row groups that hold one. */
const TABLES = {
  examples: {
    token: "peak_token",
    others: ["neuron", "combo", "ranking", "rank", "score", "n_duplicates"],
  },
  weight_tokens: {
    token: "token_id",
    others: ["neuron", "weight", "matrix", "side", "rank", "score"],
  },
};

/**
 * A list that holds the token, as a row of queries/neurons_by_token.sql.
 *
 * @typedef {{layer: number, neuron: number, ioClass: string, token: number, combo: string,
 *   nExamples: number, nDuplicates: number, share: number, score: number, rank: number}} PeakHit
 */

/**
 * A list that holds the token, as a row of queries/neurons_by_weight_token.sql.
 *
 * @typedef {{layer: number, neuron: number, ioClass: string, token: number, weight: string,
 *   matrix: string, side: string, score: number, rank: number}} WeightHit
 */

// What no field of one line holds, as vocabularies show it.
const DRAWN = { "\n": "↵", "\r": "␍", "\t": "⇥" };

/** A text as a field can hold it. @param {string} text */
export function drawn(text) {
  return text.replace(/[\n\r\t]/g, (one) => DRAWN[one]);
}

/**
 * Token ids whose text is a text, with or without the spaces around it; those that hold it else.
 *
 * @param {import("./vocab.js").Vocab} vocab
 * @param {string} text `\n` and `\t` in it may stand for a newline and a tab
 * @param {number} most so many of those that hold it
 * @returns {{exact: number[], near: number[], nNear: number}}
 */
export function tokensOf(vocab, text, most) {
  const exact = [];
  const near = [];
  let nNear = 0;
  const texts = [...new Set([text, text.replaceAll("\\n", "↵").replaceAll("\\t", "⇥")])];
  const lower = texts.map((one) => one.trim().toLowerCase()).filter(Boolean);
  for (let id = 0; id < vocab.size; id += 1) {
    const own = vocab.text(id);
    if (texts.includes(own) || texts.includes(own.replace(/^ +| +$/g, ""))) exact.push(id);
    else if (lower.some((one) => own.toLowerCase().includes(one))) {
      if (near.length < most) near.push(id);
      nNear += 1;
    }
  }
  return { exact, near, nNear };
}

/** The search for one choice of tokens, layer by layer; what was found stays. */
export class TokenSearch {
  /**
   * @param {object} options
   * @param {import("./dataset.js").Dataset} options.dataset
   * @param {"examples"|"weight_tokens"} options.table
   * @param {number[]} options.layers
   * @param {number[]} options.ids token ids
   * @param {string} options.ranking the lists to look in, of examples
   */
  constructor({ dataset, table, layers, ids, ranking }) {
    Object.assign(this, { dataset, table, ranking });
    this.ids = new Set(ids);
    /** In the order of the query. @type {(PeakHit|WeightHit)[]} */
    this.hits = [];
    const there = layers.filter((layer) => dataset.partsOf(table, layer).length);
    this.run = new LayerRun({ dataset, layers: there, read: (layer) => this.read(layer) });
  }

  /**
   * Bytes that are read by those of the first layer: for a token that is nowhere, and for one that
   * is in every row group.
   *
   * @returns {Promise<{least: number, most: number}>}
   */
  async expected() {
    const { dataset, table, run } = this;
    const { token, others } = TABLES[table];
    const [least, most] =
      await expectedBytes(dataset, table, run.layers, [[token], [token, ...others]]);
    return { least, most };
  }

  async *read(layer) {
    const { token } = TABLES[this.table];
    const numbers = layerNumbers(this.dataset, layer);
    await numbers.need([]);
    const inOrder = this.table === "examples" ? byExamples : byScore;
    for (const part of this.dataset.partsOf(this.table, layer)) {
      const file = this.dataset.open(part);
      const groups = await file.rowGroups("neuron", [token]);
      const reading = readInTurns(groups, async (group) => {
        for (const hit of await this.search(file, group)) {
          const place = numbers.placeOf(hit.neuron);
          const ioClass = place < 0 ? "no class" : numbers.classOf(place);
          this.hits.push({ layer, ioClass, ...hit });
        }
      });
      for await (const share of reading) {
        this.hits.sort(inOrder);
        yield share;
      }
      this.hits.sort(inOrder);
    }
  }

  /** One row group. */
  async search(file, { start, end }) {
    const { token, others } = TABLES[this.table];
    const { [token]: tokens } = await file.columns([token], start, end);
    if (!tokens.some((id) => this.ids.has(id))) return [];
    const columns = { ...(await file.columns(others, start, end)), token: tokens };
    return this.table === "examples"
      ? peakHits(columns, this.ids, this.ranking)
      : weightHits(columns, this.ids);
  }
}

/** Lists of one ranking that hold a token; a row group holds whole lists. */
function peakHits(columns, ids, ranking) {
  const sizes = new Map();
  const hits = new Map();
  for (let row = 0; row < columns.token.length; row += 1) {
    if (columns.ranking[row] !== ranking) continue;
    const [neuron, combo, token] = [columns.neuron[row], columns.combo[row], columns.token[row]];
    const list = `${neuron} ${combo}`;
    sizes.set(list, (sizes.get(list) ?? 0) + 1);
    if (!ids.has(token)) continue;
    const key = `${list} ${token}`;
    const hit = hits.get(key) ?? {
      neuron, combo, token, list, nExamples: 0, nDuplicates: 0, score: -Infinity, rank: Infinity,
    };
    hit.nExamples += 1;
    hit.nDuplicates += columns.n_duplicates[row] ?? 0;
    hit.score = Math.max(hit.score, columns.score[row]);
    hit.rank = Math.min(hit.rank, columns.rank[row]);
    hits.set(key, hit);
  }
  return [...hits.values()].map(({ list, ...hit }) => ({
    ...hit,
    share: hit.nExamples / sizes.get(list),
  }));
}

function weightHits(columns, ids) {
  const hits = [];
  for (let row = 0; row < columns.token.length; row += 1) {
    if (!ids.has(columns.token[row])) continue;
    hits.push(
      Object.fromEntries(Object.entries(columns).map(([name, values]) => [name, values[row]])),
    );
  }
  return hits;
}

function byExamples(a, b) {
  return (
    b.nExamples - a.nExamples || size(b.score) - size(a.score) || a.layer - b.layer ||
    a.neuron - b.neuron || compare(a.combo, b.combo) || a.token - b.token
  );
}

function byScore(a, b) {
  return (
    compare(a.weight, b.weight) || compare(a.matrix, b.matrix) || compare(a.side, b.side) ||
    (size(b.score) - size(a.score)) * (a.side === "highest" ? 1 : -1) ||
    a.layer - b.layer || a.neuron - b.neuron || a.token - b.token
  );
}

/** As SQL orders numbers: what is none is above all. */
function size(score) {
  return Number.isNaN(score) ? Infinity : score;
}

function compare(a, b) {
  return a < b ? -1 : a > b ? 1 : 0;
}
