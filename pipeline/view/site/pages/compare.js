/** Two neurons side by side, of one dataset or of two. */

import { ReadError } from "../data/errors.js";
import { because } from "../data/lackings.js";
import { namedNeuron, readNeuron } from "../data/neuron_reading.js";
import { fill, h } from "../dom.js";
import { chosenLists } from "../parts/examples/chosen_lists.js";
import { ExampleList, sideOf } from "../parts/examples/example_list.js";
import { Readout } from "../parts/examples/readout.js";
import { classMark } from "../parts/marks.js";
import { CombinationTable, mosaic } from "../parts/neuron/combinations.js";
import {
  CosineTable, norms, tellsOfWeights, weightTokenKey, weightTokens,
} from "../parts/neuron/weights.js";
import { note } from "../parts/note.js";
import { COMBOS } from "../words.js";

/** The page's title. */
export function title({ params }) {
  const [a, b] = [params.get("a"), params.get("b")];
  return a ? `Compare ${a} and ${b ?? (params.get("data_b") ? a : "…")}` : "Compare";
}

/** @param {object} context what a page is given (app.js) */
export async function render(context) {
  const { main, params, dataset, open } = context;
  main.append(h("h1", { tabindex: "-1" }, "Compare two neurons"), form(context));
  const a = params.get("a");
  const dataB = params.get("data_b");
  const b = params.get("b") ?? (dataB ? a : null);
  if (!a || !b) {
    main.append(h("p", { class: "note" },
      "Write two neurons as layer.neuron. With several datasets open, the same neuron of two of ",
      "them can be compared."));
    return;
  }
  const other = dataB ? await open(dataB) : dataset;
  const found = await Promise.all([
    readNeuron(dataset, namedNeuron(dataset, a)), readNeuron(other, namedNeuron(other, b)),
  ]);
  const names = [a, b].map((name, i) =>
    (other === dataset ? name : `${name} of ${[dataset, other][i].name}`));
  main.append(h("div", {}, compared(context, found, names)));
}

function form({ params, datasets, dataset, link }) {
  const field = (id, label, value) => [
    h("label", { for: id }, label),
    h("input", {
      id, type: "text", size: "9", required: true, autocomplete: "off", spellcheck: "false", value,
      placeholder: `${dataset.layers.at(-1)}.0`, "aria-describedby": "compare-problem",
    }),
  ];
  const a = params.get("a") ?? "";
  const chosen = params.get("data_b") ?? dataset.name;
  const select = datasets.length > 1 && h("select", { id: "compare-data-b" },
    datasets.map((name) => h("option", { value: name, selected: name === chosen }, name)));
  const problem = h("p", { id: "compare-problem", class: "problem", role: "status" });
  const submit = (event) => {
    event.preventDefault();
    const [first, second] = ["compare-a", "compare-b"].map((id) =>
      event.target.querySelector(`#${id}`).value.trim());
    try {
      for (const text of [first, second]) namedNeuron(dataset, text);
    } catch (error) {
      if (!(error instanceof ReadError)) throw error;
      fill(problem, error.message);
      return;
    }
    const dataB = select && select.value !== dataset.name ? select.value : null;
    location.hash = link("compare", { a: first, b: second, data_b: dataB });
  };
  return h("form", { class: "controls compare-form", onsubmit: submit },
    field("compare-a", datasets.length > 1 ? `Neuron of ${dataset.name}` : "Neuron", a),
    field("compare-b", "and", params.get("b") ?? (params.get("data_b") ? a : "")),
    select && [h("label", { for: "compare-data-b" }, "of"), select],
    h("button", { type: "submit" }, "Compare"),
    problem);
}

function compared(context, found, names) {
  const { link, signal } = context;
  const readout = new Readout();
  const tables = found.map(({ stats }, i) =>
    (stats.length ? new CombinationTable(stats, null, ` of ${names[i]}`) : null));
  tables.forEach((table, i) => table?.addExtremes(found[i].examples));
  const cosines = new CosineTable(found.map(({ row }) => row), thresholdOf(found));
  if (found[0].dataset === found[1].dataset && found[0].row.layer === found[1].row.layer) {
    found[0].dataset.layerRow(found[0].row.layer).then((row) => {
      if (!signal.aborted) cosines.addLayer(row);
    }, (error) => cosines.note.append(` ${error.message}`));
  }
  const columns = (of) =>
    h("div", { class: "pair" }, found.map((one, i) => h("div", {}, of(one, i))));
  const data = (one) => (one.dataset === context.dataset ? {} : { data: one.dataset.name });
  return [
    readout.element,
    columns(({ dataset, row }, i) => [
      h("h2", {}, h("i", { class: `needle-key needle-${"ab"[i]}`, "aria-hidden": "true" }),
        h("a", { href: link(`neuron/${row.layer}.${row.neuron}`, data(found[i])) }, names[i])),
      h("p", { class: "where" }, dataset.modelName,
        row.io_class !== null && [" · ", classMark(row.io_class)],
        row.flipped && " · flipped"),
      tables[i]
        ? h("div", { class: "side-by-side" }, mosaic(found[i].stats), tables[i].element)
        : h("p", { class: "note" }, "Nothing was scanned for this dataset."),
    ]),
    h("section", { "aria-labelledby": "weights-title" },
      h("h2", { id: "weights-title" }, "Weights"),
      found.map(({ dataset, row }, i) => !tellsOfWeights(row) &&
        note(because(`Nothing is known of the weights of ${names[i]}`,
          dataset.lacks("neurons", "cos_in_out")))),
      found.some(({ row }) => tellsOfWeights(row)) && [
        h("p", { class: "note" },
          `The numbers are of ${names[0]} and of ${names[1]}, in that order.`),
        h("div", { class: "compared-weights" },
          cosines.element, norms(found.map(({ row }) => row))),
      ]),
    tokensOf(found, names, columns),
    examplesOf(context, found, names, readout),
  ];
}

function thresholdOf(found) {
  const [a, b] = found.map(({ dataset }) => dataset.manifest.config?.weights?.threshold ?? null);
  return a === b ? a : null;
}

function tokensOf(found, names, columns) {
  if (found.every(({ tokens }) => !tokens.length)) return null;
  // Ids mean the same tokens where the vocabulary is the same.
  const [first, second] = found.map(({ dataset }) => dataset.manifest.model.tokenizer_sha256);
  const comparable = found[0].dataset === found[1].dataset
    || (typeof first === "string" && first === second);
  const keys = found.map(({ tokens }) => new Set(tokens.map(weightTokenKey)));
  return h("section", { "aria-labelledby": "tokens-title" },
    h("h2", { id: "tokens-title" }, "Tokens of the weights"),
    comparable && h("p", { class: "note" }, "Underlined: in the same list of both neurons."),
    columns(({ tokens, vocab }, i) => [
      h("h3", {}, names[i]),
      tokens.length
        ? weightTokens(tokens, vocab, comparable ? keys[1 - i] : new Set())
        : note(because("They are not known", found[i].dataset.lacks("weight_tokens"))),
    ]));
}

function examplesOf(context, found, names, readout) {
  const sides = found.map(({ dataset, examples, vocab, stats }) =>
    sideOf(dataset, examples, vocab, stats, readout, context.signal));
  if (sides.every(({ rankings }) => !rankings.length)) {
    return h("p", { class: "note" }, "There are no examples of these neurons.");
  }
  // What both lack is said once.
  const [first, second] = sides.map(({ notes }) => notes);
  sides.forEach((side, i) => {
    const others = i ? first : second;
    side.notes = side.notes.map((said) => (others.includes(said) ? said : `${names[i]}: ${said}`));
  });
  const pairs = COMBOS.map((combo) =>
    sides.map((side, i) => new ExampleList(side, combo, ` · ${names[i]}`)));
  const panel = h("div", {},
    pairs.map((pair) => h("div", { class: "pair" }, pair.map((list) => list.element))));
  return h("section", { "aria-labelledby": "examples-title" },
    h("h2", { id: "examples-title" }, "Examples"),
    chosenLists(context, { sides, lists: pairs.flat(), panel, readout }));
}
