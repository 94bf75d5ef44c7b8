/** What can be said of every neuron as one number: name, words, unit and where it stands. */

import { percent, short } from "./numbers.js";
import { COMBOS, readable } from "./words.js";

/**
 * One number of a neuron.
 *
 * @typedef {{name: string, label: string, group: string, unit: string, kind: string,
 *   columns: string[], of: (get: (column: string) => Float64Array) => Float64Array}} Axis
 *
 * `columns` are those of `neurons` (`cos_in_out`) and those of `sign_stats` with their combination
 * (`count gate+_in-`, `n_tokens all`); `of` makes the numbers out of them. A `kind` is cosine,
 * norm, share or mean.
 */

const WEIGHTS = ["gate", "in", "out"];
const PAIRS = ["in_out", "gate_out", "gate_in"];
const counts = COMBOS.map((combo) => `count ${combo}`);
const N_TOKENS = "n_tokens all";

/** Of two weights, in the order of their use here. @type {Axis[]} */
export const COSINES = PAIRS.map((pair) => {
  const [a, b] = pair.split("_");
  return stored(`cos_${pair}`, `cos(w_${a}, w_${b})`, "Cosines", "cosine", "cosine");
});
const norms = WEIGHTS.map((weight) =>
  stored(`norm_${weight}`, `norm of w_${weight}`, "Norms", "length", "norm"),
);
/** Of the combinations, in their order. @type {Axis[]} */
export const FREQUENCIES = COMBOS.map((combo, i) =>
  share(`frequency_${wordOf(combo)}`, `frequency of ${onOneLine(combo)}`, [i]),
);
const shares = [
  share("frequency_gate_pos", "frequency of gate > 0", [0, 1]),
  share("frequency_in_pos", "frequency of in > 0", [0, 2]),
  share("frequency_agree", "frequency of gate and in of one sign", [0, 3]),
  ...FREQUENCIES,
];
const means = ["post", "gate", "in", "act"].flatMap((quantity) =>
  COMBOS.map((combo) => {
    const name = `mean_${quantity}_${wordOf(combo)}`;
    const label = `mean ${quantity} in ${onOneLine(combo)}`;
    const column = `mean_${quantity} ${combo}`;
    return stored(name, label, `Means of ${quantity}`, "activation", "mean", column);
  }),
);

/** Of the weights. @type {Axis[]} */
const WEIGHT_AXES = [...COSINES, ...norms];

/** Of the weights and of the activations. @type {Axis[]} */
const AXES = [...COSINES, ...shares, ...norms, ...means];

/** The axes that a dataset has. @param {{hasScan: boolean}} dataset @returns {Axis[]} */
export function axesOf(dataset) {
  return dataset.hasScan ? AXES : WEIGHT_AXES;
}

/** The axis of a name, or undefined. @param {string|null} name @returns {Axis|undefined} */
export function axisNamed(name) {
  return AXES.find((axis) => axis.name === name);
}

/**
 * The columns that an axis is made of, each with its table.
 *
 * @param {Axis} axis
 * @returns {[string, string][]}
 */
export function columnsOf({ columns }) {
  return columns.map((column) => {
    const [name, combo] = column.split(" ");
    return [combo ? "sign_stats" : "neurons", name];
  });
}

/** A number of an axis as a person reads it. @param {Axis} axis @param {number|null} value */
export function shown(axis, value) {
  if (axis.kind === "share") return percent(value);
  return Number.isNaN(value) ? "–" : short(value);
}

/** The label with its unit. @param {Axis} axis */
export function titled(axis) {
  return axis.kind === "cosine" || axis.kind === "norm"
    ? axis.label
    : `${axis.label} (${axis.unit})`;
}

function stored(name, label, group, unit, kind, column = name) {
  return { name, label, group, unit, kind, columns: [column], of: (get) => get(column) };
}

// As the view neuron_summary has them: sums of counts by the number of tokens.
function share(name, label, combos) {
  const columns = [...combos.map((i) => counts[i]), N_TOKENS];
  const of = (get) => {
    const nTokens = get(N_TOKENS);
    const sums = new Float64Array(nTokens.length);
    for (const part of combos.map((i) => get(counts[i]))) {
      for (let i = 0; i < sums.length; i += 1) sums[i] += part[i];
    }
    // Of rounded shares the sum may be a little more than all.
    for (let i = 0; i < sums.length; i += 1) {
      sums[i] = nTokens[i] ? Math.min(1, sums[i] / nTokens[i]) : NaN;
    }
    return sums;
  };
  return { name, label, group: "Frequencies", unit: "share of tokens", kind: "share", columns, of };
}

function onOneLine(combo) {
  return readable(combo).replace(" ", "\u00a0");
}

/** `gate_pos_in_neg` of `gate+_in-`: plus signs are spaces in addresses. */
function wordOf(combo) {
  return combo.replaceAll("+", "_pos").replaceAll("-", "_neg");
}
