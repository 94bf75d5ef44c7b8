/** Neurons to look at first: those that contradict their weights, rare combinations, extremes. */

import { COSINES, FREQUENCIES, axisNamed } from "../../axes.js";
import { ReadError } from "../../data/errors.js";
import { N_RARE, RARE, rareOf } from "../../data/rare.js";
import { fill, h } from "../../dom.js";
import { bytes, count, percent, short } from "../../numbers.js";
import { COMBOS } from "../../words.js";
import { tokenMark } from "../examples/token_mark.js";
import { comboMark } from "../marks.js";
import { readingBar } from "../reading_bar.js";
import { axisColumn, nameColumns, valueAt } from "../tables/neuron_columns.js";
import { Table } from "../tables/table.js";
import { unlessUnknown } from "./unless_unknown.js";

const PAGE = 10;
// So little is read without asking.
const LITTLE = 8e6;

/**
 * @param {object} context what a page is given (app.js)
 * @param {ReturnType<import("../../data/survey.js").surveyOf>} survey
 * @returns {HTMLElement[]}
 */
export function startHere(context, survey) {
  const { hasScan } = context.dataset;
  return [
    hasScan && section("Neurons that contradict their weights",
      "cos(w_gate, w_in) is above 0.5, which predicts equal signs, yet gate and in have " +
        "different signs on more than half of the tokens.",
      unlessUnknown(context, survey,
        [axisNamed("cos_gate_in"), ...FREQUENCIES], unexpected(context, survey))),
    hasScan && context.dataset.has("examples") && section("Strong where they are rare",
      `Of the sign combinations on fewer than ${percent(RARE)} of the tokens the ${N_RARE} with ` +
        "the largest |post|.",
      unlessUnknown(context, survey, FREQUENCIES, rare(context, survey))),
    section("The highest and the lowest cos(w_in, w_out)",
      "Neurons that write most clearly what w_in reads, and those that most clearly take it away.",
      unlessUnknown(context, survey, [axisNamed("cos_in_out")], extremes(context, survey))),
  ].filter(Boolean);
}

function section(title, words, content) {
  return h("section", {}, h("h3", {}, title), h("p", { class: "note" }, words), content);
}

function unexpected({ link, signal }, { run, findings }) {
  const at = (row) => findings.unexpected[row];
  const table = new Table({
    label: "Neurons that contradict their weights", pageSize: PAGE, file: "unexpected_signs.csv",
    empty: "None in the layers that are read.",
    columns: [
      ...nameColumns(at, (path) => link(path)),
      axisColumn(axisNamed("cos_gate_in"), at),
      {
        name: "disagreement_frequency", title: "different signs", isNumber: true,
        key: (row) => at(row).disagreement, cell: (row) => percent(at(row).disagreement),
      },
      axisColumn(FREQUENCIES[1], at), axisColumn(FREQUENCIES[2], at),
    ],
  });
  grow(run, signal, () => table.show([...findings.unexpected.keys()], true));
  return h("div", { id: "unexpected" }, table.element);
}

function extremes({ link, signal }, { run, findings }) {
  return h("div", { class: "two", id: "extremes" }, ["highest", "lowest"].map((side) => {
    const at = (row) => findings[side][row];
    const table = new Table({
      label: `Neurons with the ${side} cos(w_in, w_out)`, pageSize: PAGE,
      columns: [
        ...nameColumns(at, (path) => link(path)),
        ...COSINES.map((axis) => axisColumn(axis, at)),
      ],
    });
    grow(run, signal, () => table.show([...findings[side].keys()], true));
    return table.element;
  }));
}

/** Show what is there now and after each layer. */
function grow(run, signal, show) {
  run.listen(show, signal);
  show();
}

function rare(context, survey) {
  const { dataset, link, signal } = context;
  const search = rareOf(dataset);
  if (!dataset.rankings.includes("post")) {
    return h("p", { class: "note" }, "This dataset keeps no lists by post.");
  }
  const { run } = search;
  const places = new Map();
  const at = (row) => search.found[row];
  const frequencyAt = (row) => {
    const axis = FREQUENCIES[COMBOS.indexOf(at(row).combo)];
    return valueAt(axis, at(row));
  };
  const columns = (hasClasses) => [
    ...nameColumns(at, (path) => link(path), hasClasses),
    {
      name: "combo", title: "Combination",
      key: (row) => COMBOS.indexOf(at(row).combo), cell: (row) => comboMark(at(row).combo),
    },
    {
      name: "frequency", title: "frequency", isNumber: true,
      key: frequencyAt, cell: (row) => percent(frequencyAt(row)),
    },
    {
      name: "strongest_post", title: "post at its strongest", isNumber: true,
      key: (row) => at(row).post, cell: (row) => short(at(row).post),
    },
    { name: "token", title: "there", isUnsorted: true, cell: (row) => places.get(at(row)) ?? "" },
  ];
  let hasClasses = true;
  const table = new Table({
    label: "Strong where they are rare", pageSize: PAGE, empty: "None yet.", columns: columns(true),
  });
  const show = () => {
    const had = hasClasses;
    hasClasses = !search.found.length || search.found.some(({ numbers }) => numbers.hasClasses);
    if (hasClasses !== had) table.setColumns(columns(hasClasses));
    table.show([...search.found.keys()], true);
  };
  grow(run, signal, show);
  const rest = async () => {
    if (run.state === "running" || !search.found.length) return;
    const vocab = await dataset.vocab();
    await Promise.all(search.found.filter((one) => !places.has(one)).map(async (one) => {
      const { peak_token: token } = await search.placeOf(one);
      places.set(one, token === null ? h("span", { class: "note" }, "not known")
        : tokenMark(token, vocab));
    }));
    if (!signal.aborted) show();
  };
  run.listen(() => said(rest()), signal);
  const note = h("p", { class: "note" });
  const bar = readingBar({ run, start: "Search the examples", signal });
  const begin = async () => {
    const expected = await search.expected();
    fill(note,
      `The ${count(run.layers.length)} layers' examples are searched: about ${bytes(expected)}.`);
    if (!signal.aborted && expected < LITTLE && run.state === "ready") run.start();
  };
  const said = (promise) => promise.catch((error) => {
    if (!(error instanceof ReadError)) throw error;
    fill(note, h("span", { class: "problem" }, error.message));
  });
  // After the survey, which it would hold up.
  let isBegun = false;
  const wait = () => {
    if (isBegun || survey.run.state === "running" || survey.run.state === "ready") return;
    isBegun = true;
    said(begin());
  };
  survey.run.listen(wait, signal);
  wait();
  said(rest());
  signal.addEventListener("abort", () => run.leave());
  return h("div", { id: "rare" }, note, bar, table.element);
}

