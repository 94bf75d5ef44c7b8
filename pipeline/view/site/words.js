/** The words of the project, as columns and pages have them (pipeline/naming.py). */

/** Sign combinations, in the order of every table. */
export const COMBOS = ["gate+_in+", "gate+_in-", "gate-_in+", "gate-_in-"];

/** A combination as a person reads it: `gate− in+` of `gate-_in+`. @param {string} combo */
export function readable(combo) {
  return combo.replace("_", " ").replaceAll("-", "−");
}

/** What an activation is read as. */
export const QUANTITIES = ["gate", "in", "act", "post"];

/** What a list of examples is ordered by. */
export const RANKINGS = ["post", "in", "gate", "random"];
/** The same with that of lists which were published by GLUScope. */
export const ALL_RANKINGS = [...RANKINGS, "act"];

/**
 * Classes of input-output functionality, from what enriches to what depletes, with what each means
 * (arXiv 2505.17936). Weights lie along one line, or one points the way of another, where their
 * cosine is past the threshold.
 */
export const IO_CLASSES = {
  enrichment:
    "all three weights lie along one line and w_out points the way of w_in: what the neuron " +
    "reads it writes again, so that there is more of it",
  "conditional enrichment":
    "w_out points the way of w_in, and w_gate lies elsewhere: what w_in reads is written again, " +
    "on the condition that w_gate finds another direction",
  "proportional change":
    "w_out lies along w_gate, and w_in elsewhere: the direction that w_gate finds is changed in " +
    "proportion to what w_in reads, up or down by its sign",
  "orthogonal output":
    "w_out lies along neither w_gate nor w_in: the neuron writes another direction than those " +
    "it reads",
  "conditional depletion":
    "w_out points against w_in, and w_gate lies elsewhere: what w_in reads is taken away, on " +
    "the condition that w_gate finds another direction",
  depletion:
    "all three weights lie along one line and w_out points against w_in: what the neuron reads " +
    "it takes away, so that there is less of it",
  "atypical enrichment":
    "as enrichment by w_out, which points the way of w_in and lies along w_gate; yet w_gate and " +
    "w_in do not lie together as that suggests",
  "atypical conditional enrichment":
    "as conditional enrichment by w_out, which points the way of w_in and not along w_gate; yet " +
    "w_gate and w_in lie along one line",
  "atypical proportional change":
    "as proportional change by w_out, which lies along w_gate and not along w_in; yet w_gate " +
    "and w_in lie along one line",
  "atypical conditional depletion":
    "as conditional depletion by w_out, which points against w_in and not along w_gate; yet " +
    "w_gate and w_in lie along one line",
  "atypical depletion":
    "as depletion by w_out, which points against w_in and lies along w_gate; yet w_gate and " +
    "w_in do not lie together as that suggests",
};

/** Of neurons without a gate there are three. */
const UNGATED_CLASSES = {
  enrichment:
    "w_out points the way of w_in: what the neuron reads it writes again, so that there is more " +
    "of it",
  "orthogonal output":
    "w_out does not lie along w_in: the neuron writes another direction than the one it reads",
  depletion:
    "w_out points against w_in: what the neuron reads it takes away, so that there is less of " +
    "it",
};

/**
 * What a class means, as the end of a sentence that begins with its name.
 *
 * @param {string} name any string: a dataset may name others
 * @param {boolean} gated whether the model's neurons have a gate
 */
export function classSentence(name, gated) {
  const classes = gated ? IO_CLASSES : UNGATED_CLASSES;
  return Object.hasOwn(classes, name) ? `: ${classes[name]}.` : ".";
}
