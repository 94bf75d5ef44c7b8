/** The words of the project, as columns and pages have them (pipeline/naming.py). */

/** Sign combinations, in the order of every table. */
export const COMBOS = ["gate+_in+", "gate+_in-", "gate-_in+", "gate-_in-"];

/** What an activation is read as. */
export const QUANTITIES = ["gate", "in", "act", "post"];

/** What a list of examples is ordered by. */
export const RANKINGS = ["post", "in", "gate", "random"];

/** Classes of input-output functionality, with what each means (arXiv 2505.17936). */
export const IO_CLASSES = {
  enrichment: "writes more of what both its weights read",
  "conditional enrichment": "writes more of what w_in reads, on the condition of another direction",
  "proportional change": "writes along w_gate, with the sign and the size that w_in reads",
  "orthogonal output": "writes a direction other than those it reads",
  "conditional depletion": "takes away what w_in reads, on the condition of another direction",
  depletion: "takes away what both its weights read",
  "atypical enrichment": "as enrichment, but w_gate and w_in do not agree as those two cosines suggest",
  "atypical conditional enrichment":
    "as conditional enrichment, but w_gate and w_in agree where another direction was to be expected",
  "atypical proportional change":
    "as proportional change, but w_gate and w_in agree where they were not to be expected to",
  "atypical conditional depletion":
    "as conditional depletion, but w_gate and w_in agree where another direction was to be expected",
  "atypical depletion": "as depletion, but w_gate and w_in do not agree as those two cosines suggest",
};
