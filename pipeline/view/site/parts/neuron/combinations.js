/** How often each sign combination occurs, drawn to proportion, and what the neuron does in it. */

import { because } from "../../data/lackings.js";
import { fill, h } from "../../dom.js";
import { count, percent, short } from "../../numbers.js";
import { COMBOS, readable } from "../../words.js";
import { comboClass, comboMark } from "../marks.js";
import { wide } from "../tables/wide.js";

// Shares of the drawing that a name takes: with its percentage below it, and beside it when turned.
const NAME_WIDTH = 0.36;
const NAME_HEIGHT = 0.18;
const TURNED_WIDTH = 0.09;
const TURNED_HEIGHT = 0.6;

/**
 * The four combinations as areas: columns for the sign of gate, in each the signs of in.
 *
 * @param {object[]} stats rows of `sign_stats`
 * @param {((combo: string) => void)|null} [go] what a click on an area does
 */
export function mosaic(stats, go = null) {
  if (stats.every((row) => row.frequency === null)) {
    return h("p", { class: "note" }, "How often each combination occurs is not known.");
  }
  const share = Object.fromEntries(stats.map((row) => [row.combo, row.frequency ?? 0]));
  const described = COMBOS.map((combo) => `${readable(combo)} ${percent(share[combo])}`).join(", ");
  const total = COMBOS.reduce((sum, combo) => sum + share[combo], 0);
  const columns = [COMBOS.slice(0, 2), COMBOS.slice(2)].map((combos) => {
    const width = combos.reduce((sum, combo) => sum + share[combo], 0);
    const column = h("div", { class: "mosaic-column" },
      combos.map((combo) => {
        const [wide, high] = [width / total, share[combo] / width];
        const fits = wide >= NAME_WIDTH && high >= NAME_HEIGHT;
        const fitsUpright = !fits && wide >= TURNED_WIDTH && high >= TURNED_HEIGHT;
        const cell = h("div", {
          class: `mosaic-cell ${comboClass(combo)}${fitsUpright ? " upright" : ""}`,
          onclick: go && (() => go(combo)),
        }, (fits || fitsUpright) && [
          h("b", {}, readable(combo)), h("span", {}, percent(share[combo])),
        ]);
        cell.style.setProperty("flex-grow", String(share[combo] / width || 0));
        return cell;
      }));
    column.style.setProperty("flex-grow", String(width / total || 0));
    return column;
  });
  const gate = (combos) => combos.reduce((sum, combo) => sum + share[combo], 0);
  return h("figure", { class: "mosaic" },
    h("div", {
      class: "mosaic-areas", role: "img", "aria-label": `Areas by frequency: ${described}`,
    },
      total > 0 ? columns : h("p", { class: "note" }, "No position has a combination.")),
    h("figcaption", {},
      `Area is frequency. Left gate+ (${percent(gate(COMBOS.slice(0, 2)))}), right gate− `,
      `(${percent(gate(COMBOS.slice(2)))}); above in+, below in−.`));
}

/** The rows of the table: what each is called and where it is found. */
const STATS = [
  ["frequency", (row) => percent(row.frequency)],
  ["count", (row) => count(row.count)],
  ["mean gate", (row) => short(row.mean_gate)],
  ["mean in", (row) => short(row.mean_in)],
  ["mean act", (row) => short(row.mean_act)],
  ["mean post", (row) => short(row.mean_post)],
];

/** The numbers of the four combinations, one a column. */
export class CombinationTable {
  /**
   * @param {object[]} stats rows of `sign_stats`
   * @param {((combo: string) => void)|null} go what a combination's name does, as a button
   * @param {string} [whose] such as ` of 31.9634`, where there are several
   */
  constructor(stats, go, whose = "") {
    this.stats = stats;
    this.head = h("thead", {}, h("tr", {}, h("td", {}),
      stats.map(({ combo }) => h("th", { scope: "col" },
        go
          ? h("button", {
              type: "button", class: "quiet", title: "To its examples", onclick: () => go(combo),
            }, comboMark(combo))
          : comboMark(combo)))));
    // Their place is taken from the start, so that nothing moves when they are read.
    this.extremes = h("tbody", {}, extremeRows(stats, () => "…"));
    this.element = wide(`The four combinations${whose} in numbers`,
      h("table", { class: "combinations" }, this.head,
        h("tbody", {}, STATS.map(([name, of]) =>
          h("tr", {}, h("th", { scope: "row" }, name),
            stats.map((row) => h("td", { class: "number" }, of(row)))))),
        this.extremes));
  }

  /** Add the largest values at the peaks of the lists. @param {object[]} rows of `examples` */
  addExtremes(rows) {
    const found = extremesOf(rows);
    const text = (combo, quantity) => short(found[combo][quantity]);
    fill(this.extremes, extremeRows(this.stats, text));
  }
}

function extremeRows(stats, text) {
  return ["gate", "in", "post"].map((quantity) =>
    h("tr", {}, h("th", { scope: "row" }, `largest |${quantity}|`),
      stats.map(({ combo }) => h("td", { class: "number" }, text(combo, quantity)))));
}

/**
 * The signed values of the largest magnitudes at the peaks of all lists of a combination.
 *
 * @param {object[]} rows of `examples`
 * @returns {Record<string, {gate: number|null, in: number|null, post: number|null}>} by combination
 */
function extremesOf(rows) {
  const none = { gate: null, in: null, post: null };
  const found = Object.fromEntries(COMBOS.map((combo) => [combo, { ...none }]));
  for (const row of rows) {
    const best = found[row.combo];
    if (!best) continue;
    for (const quantity of Object.keys(best)) {
      const value = row[`${quantity}_value`];
      if (value === null || Number.isNaN(value)) continue;
      if (best[quantity] === null || Math.abs(value) > Math.abs(best[quantity])) {
        best[quantity] = value;
      }
    }
  }
  return found;
}

/**
 * How many tokens were counted, in a sentence.
 *
 * @param {object[]} stats rows of `sign_stats`
 * @param {string|null} why that is not known, where it is not
 */
export function countedSentence(stats, why) {
  const { n_tokens: nTokens, n_zero: nZero } = stats[0];
  const end = " A mean is over the tokens of its combination; the largest values are those at " +
    "the peaks of the examples.";
  if (nTokens === null || nZero === null) {
    return because("How many tokens were counted is not known", why) + end;
  }
  const zero = nZero === 0
    ? "gate and in are exactly 0 at none of them"
    : `at ${count(nZero)} of them gate or in is exactly 0, which is no combination`;
  return `${count(nTokens)} tokens were counted; ${zero}.${end}`;
}
