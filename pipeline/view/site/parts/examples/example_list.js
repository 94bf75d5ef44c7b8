/** Lists of examples of one neuron, one a combination, by one ranking, in one colouring. */

import { activationOf, agreesAtPeaks } from "../../activation.js";
import { limitOf } from "../../colour.js";
import { because } from "../../data/lackings.js";
import { fill, h } from "../../dom.js";
import { count, percent, short } from "../../numbers.js";
import { ALL_RANKINGS, QUANTITIES, readable } from "../../words.js";
import { comboMark } from "../marks.js";
import { legend } from "./colour_legend.js";
import { entryOf, exampleItem, recolour } from "./example.js";
import { Sources } from "./sources.js";
import { hasWindow } from "./windowless.js";

// Entries of a list that are there at once; the others come a moment later.
const FIRST = 4;

/**
 * What the lists of a neuron are drawn from.
 *
 * @param {object} dataset
 * @param {object[]} rows of `examples`
 * @param {object} vocab
 * @param {object[]} stats rows of `sign_stats`
 * @param {import("./readout.js").Readout} readout of the page
 * @param {AbortSignal} signal of the page
 */
export function sideOf(dataset, rows, vocab, stats, readout, signal) {
  const name = dataset.manifest.model.act_fn ?? "";
  const known = activationOf(name);
  const act = known && agreesAtPeaks(known, rows) ? known : null;
  const windows = rows.filter(hasWindow);
  const notes = [
    act || !windows.length ? null : whyNoAct(name, known), ...lackNotes(dataset, rows, windows),
  ];
  return {
    dataset, rows, vocab, stats, readout, act,
    notes: notes.filter(Boolean),
    rankings: ALL_RANKINGS.filter((ranking) => rows.some((row) => row.ranking === ranking)),
    quantities: !windows.length ? [] : act ? QUANTITIES : ["gate", "in"],
    sources: new Sources(dataset, signal),
  };
}

/** What the entries lack, in sentences. */
function lackNotes(dataset, rows, windows) {
  const [n, nNone] = [rows.length, rows.length - windows.length];
  const whyNone = dataset.lacks("examples", "token_ids");
  const noTexts = dataset.lacks("corpus");
  const texts = because(`The ${windows.length ? "whole " : ""}texts are not here`, noTexts);
  if (!n || (!nNone && !noTexts)) return [];
  if (!nNone) return [texts];
  const said = windows.length
    ? because(`${count(nNone)} of the ${count(n)} entries have no window`, whyNone)
    : `${because("Neither positions nor windows are known", whyNone)} An entry is its ` +
      `${noTexts ? "score and its example's number" : "score and the beginning of its text"}.`;
  return [said, noTexts && texts];
}

function whyNoAct(name, known) {
  const start = "act and post at each token are not shown: ";
  if (!name) return `${start}the dataset does not name the activation function.`;
  if (!known) return `${start}this page does not know the activation function ${name}.`;
  return `${start}${name}(gate) · in is not the post that was stored, so the model changes the ` +
    "gate on the way.";
}

/** The list of one combination. */
export class ExampleList {
  /** @param {ReturnType<typeof sideOf>} side @param {string} combo @param {string} [whose] */
  constructor(side, combo, whose = "") {
    this.side = side;
    this.combo = combo;
    this.head = h("div", { class: "list-head" });
    this.items = h("ol", { class: "examples" });
    this.title = h("h3", { tabindex: "-1" }, comboMark(combo), whose);
    const label = `Examples of ${readable(combo)}${whose}`;
    this.element = h("section", { class: "list", "aria-label": label },
      this.title, this.head, this.items);
  }

  /** Fill the list. @param {string} ranking @param {string} quantity */
  show(ranking, quantity) {
    this.entries = this.side.rows
      .filter((row) => row.combo === this.combo && row.ranking === ranking)
      .map((row) => entryOf(row, this.side.act));
    this.ranking = ranking;
    this.items.hidden = !this.entries.length;
    fill(this.items);
    this.colour(quantity);
    this.add(0, FIRST);
    const { entries } = this;
    // What is seen first is painted first.
    if (entries.length > FIRST) {
      requestAnimationFrame(() => setTimeout(() => {
        if (this.entries === entries) this.add(FIRST, entries.length);
      }));
    }
  }

  add(start, end) {
    this.items.append(...this.entries.slice(start, end).map((entry) =>
      exampleItem(entry, this.side, this.quantity, this.limit)));
  }

  /** Colour the list by another quantity. @param {string} quantity */
  colour(quantity) {
    this.quantity = quantity;
    this.limit = this.drawHead(quantity);
    for (const item of this.items.children) recolour(item, quantity, this.limit);
  }

  drawHead(quantity) {
    const stat = this.side.stats.find((row) => row.combo === this.combo);
    const { entries } = this;
    const values = entries.flatMap((entry) => entry.values[quantity] ?? []);
    const limit = limitOf(values);
    const hasOdd = values.some((value) => value === null || !Number.isFinite(value));
    fill(
      this.head,
      h("p", {},
        stat && stat.frequency !== null && `${percent(stat.frequency)} of the tokens. `,
        entries.length ? this.summary() : this.nothing(stat)),
      values.length > 0 && legend(quantity, limit, hasOdd),
    );
    return limit;
  }

  summary() {
    const n = this.entries.length;
    const what = n === 1 ? "1 example" : `${count(n)} examples`;
    if (this.ranking === "random") return `${what}, drawn at random.`;
    const scores = this.entries.map(({ row }) => row.score);
    return `${what}, |${this.ranking}| from ${short(scores[0])} to ${short(scores.at(-1))}.`;
  }

  nothing(stat) {
    if (stat?.count === 0 || stat?.frequency === 0) return "It never occurs in the corpus.";
    if (this.ranking === "act" && this.combo.startsWith("gate+")) {
      return "Lists by act were published of gate < 0 alone.";
    }
    return `No example is kept of it by ${this.ranking}.`;
  }
}
