/** What a neuron's weights say: cosines, norms, class, and the tokens that they point at. */

import { COSINES } from "../../axes.js";
import { fill, h } from "../../dom.js";
import { short } from "../../numbers.js";
import { tokenPieces } from "../../tokens.js";
import { classSentence } from "../../words.js";
import { drawnPieces } from "../examples/pieces.js";
import { classMark } from "../marks.js";

const SHADES = ["a", "b"];
const NORMS = ["gate", "in", "out"];

/** Cosines as places between -1 and 1; the layer's are added when they are read. */
export class CosineTable {
  /**
   * @param {object[]} rows of `neurons`, one for each neuron that is shown
   * @param {number|null} threshold of the classes
   */
  constructor(rows, threshold) {
    this.axes = COSINES.filter(({ name }) => rows.some((row) => row[name] !== null));
    this.backs = this.axes.map(() => h("span", { class: "axis-back" }));
    this.note = h("p", { class: "note" });
    this.element = h("div", { class: "cosines" },
      h("table", {}, h("tbody", {}, this.axes.map(({ name, label }, i) =>
        h("tr", {}, h("th", { scope: "row" }, label),
          h("td", {}, h("span", { class: "axis", "aria-hidden": "true" }, this.backs[i],
            threshold !== null && [-threshold, threshold].map((x) => placed("axis-tick", x)),
            placed("axis-zero", 0),
            rows.map((row, j) => needle(row[name], SHADES[j])))),
          rows.map((row) =>
            h("td", { class: "number" }, short(row[name]))))))),
      this.note);
    this.threshold = threshold;
    this.say("");
  }

  /** Add where the layer's cosines lie. @param {object|undefined} layer a row of `layers` */
  addLayer(layer) {
    if (!layer) return;
    this.axes.forEach(({ name }, i) => {
      fill(this.backs[i],
        band("axis-random", layer.randomness_low, layer.randomness_high),
        band("axis-quartiles", layer[`q1_${name}`], layer[`q3_${name}`]));
    });
    this.say("Grey: 95% of random directions. Box: the middle half of the layer. ");
  }

  say(start) {
    const { threshold } = this;
    const classes = threshold === null ? "" : `Ticks at ±${threshold}: where the classes part.`;
    fill(this.note, `The axis goes from −1 to 1. ${start}${classes}`);
  }
}

/** Whether anything is known of the weights of a neuron. @param {object} row of `neurons` */
export function tellsOfWeights(row) {
  const names = [...COSINES.map(({ name }) => name), ...NORMS.map((name) => `norm_${name}`)];
  return row.io_class !== null || names.some((name) => row[name] !== null);
}

/** The norms that the neuron has. @param {object[]} rows of `neurons` */
export function norms(rows) {
  const names = NORMS.filter((name) => rows.some((row) => row[`norm_${name}`] !== null));
  return h("table", { class: "norms" }, h("tbody", {}, names.map((name) =>
    h("tr", {}, h("th", { scope: "row" }, `|w_${name}|`),
      rows.map((row) => h("td", { class: "number" }, short(row[`norm_${name}`])))))));
}

/** The class with what it means, and what flipped means where the neuron is. */
export function classLine(row, gated) {
  return h("div", { class: "class-line" },
    row.io_class !== null &&
      h("p", {}, h("strong", {}, classMark(row.io_class)), classSentence(row.io_class, gated)),
    row.flipped && h("p", { class: "flipped" },
      h("strong", {}, "Flipped: "),
      "in the model w_gate and w_in point away from each other. Here w_in and w_out are negated, ",
      "so in and post have the other sign than in the model; what the neuron writes is the same."),
    !gated && h("p", { class: "note" }, "This model's neurons have no gate."));
}

/**
 * The tokens whose embeddings or unembeddings have the largest dot products with each weight.
 *
 * @param {object[]} rows of `weight_tokens` of a neuron
 * @param {object} vocab
 * @param {Set<string>} [shared] keys `weight matrix side id` to underline: the other neuron's too
 */
export function weightTokens(rows, vocab, shared = new Set()) {
  const lists = new Map();
  for (const row of rows) {
    const key = `${row.weight} ${row.matrix}`;
    if (!lists.has(key)) lists.set(key, { highest: [], lowest: [] });
    lists.get(key)[row.side]?.push(row);
  }
  const sides = ["highest", "lowest"];
  return h("table", { class: "weight-tokens" },
    h("thead", {}, h("tr", {}, h("td", {}), sides.map((side) => h("th", { scope: "col" }, side)))),
    h("tbody", {}, [...lists].map(([key, bySide]) => {
      const [weight, matrix] = key.split(" ");
      return h("tr", {}, h("th", { scope: "row" }, `w_${weight} · `, h("span", {}, matrix)),
        sides.map((side) =>
          h("td", {}, h("ol", { "aria-label": `${side} of w_${weight} and ${matrix}` },
            bySide[side].map((row) => weightToken(row, vocab, shared))))));
    })));
}

/** What makes a row of `weight_tokens` the same in two neurons. */
export function weightTokenKey({ weight, matrix, side, token_id: id }) {
  return `${weight} ${matrix} ${side} ${id}`;
}

function weightToken(row, vocab, shared) {
  const name = shared.has(weightTokenKey(row)) ? "shared" : null;
  return h("li", { class: name, title: `id ${row.token_id}` },
    h("bdi", { class: "token" }, drawnPieces(tokenPieces([row.token_id], vocab)[0])),
    " ", h("small", {}, short(row.score)));
}

function placed(name, x) {
  const mark = h("span", { class: name });
  mark.style.setProperty("left", `${(x + 1) * 50}%`);
  return mark;
}

function needle(x, shade) {
  if (x === null || !Number.isFinite(x)) return null;
  return placed(`needle needle-${shade}`, Math.max(-1, Math.min(1, x)));
}

function band(name, low, high) {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return null;
  const mark = placed(name, low);
  mark.style.setProperty("width", `${(high - low) * 50}%`);
  return mark;
}
