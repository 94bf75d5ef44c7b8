/** One neuron: its combinations, its weights, the texts that show it. */

import { ReadError } from "../data/errors.js";
import { because } from "../data/lackings.js";
import { beginReading, namedNeuron } from "../data/neuron_reading.js";
import { fill, h } from "../dom.js";
import { neuronJson } from "../neuron_json.js";
import { chosenLists } from "../parts/examples/chosen_lists.js";
import { ExampleList, sideOf } from "../parts/examples/example_list.js";
import { Readout } from "../parts/examples/readout.js";
import { CombinationTable, countedSentence, mosaic } from "../parts/neuron/combinations.js";
import { neuronHead, steps } from "../parts/neuron/neuron_head.js";
import {
  CosineTable, classLine, norms, tellsOfWeights, weightTokens,
} from "../parts/neuron/weights.js";
import { note } from "../parts/note.js";
import { COMBOS } from "../words.js";

// So long the page waits for the examples before it shows what is there without them.
const PATIENCE_MS = 150;
// Where the tokens of the weights are folded at first, so that the examples are not far.
const NARROW = "(max-width: 40rem)";

/** The page's title. */
export function title({ path, dataset }) {
  return `${path} · ${dataset.modelName}`;
}

/** @param {object} context what a page is given (app.js) */
export async function render(context) {
  const { dataset, main } = context;
  const here = namedNeuron(dataset, context.path);
  if (dataset.layers.includes(here.layer) && !dataset.hasNeuron(here.layer, here.neuron)) {
    main.append(outOfRange(context, here));
    return;
  }
  const reading = beginReading(dataset, here);
  const neighbours = steps(context, here);
  const [row, stats] = await Promise.all([reading.row, reading.stats]);
  const { model } = dataset.manifest;
  const json = async () => neuronJson({
    dataset: dataset.name,
    model: { name: model.name ?? null, revision: model.revision ?? null },
    neuron: row,
    sign_stats: stats,
    examples: await reading.examples,
    weight_tokens: await reading.tokens,
  });
  const page = new NeuronPage(context, row, stats);
  main.append(neuronHead(context, here, row, neighbours, json), page.element);
  const rest = page.addRest(reading);
  await Promise.race([rest, new Promise((resolve) => setTimeout(resolve, PATIENCE_MS))]);
}

/** Where to go from a neuron that the layer does not have. */
function outOfRange({ dataset, link }, { layer, neuron }) {
  const last = dataset.nNeurons(layer) - 1;
  return h("div", { class: "failure", role: "alert" },
    h("h1", { tabindex: "-1" }, `There is no neuron ${layer}.${neuron}`),
    h("p", {}, `${dataset.name} has the neurons ${layer}.0 to ${layer}.${last} in layer ${layer}. `,
      h("a", { href: link(`layer/${layer}`) }, `See layer ${layer}`), " or ",
      h("a", { href: link(`neuron/${layer}.${last}`) }, `neuron ${layer}.${last}`), "."));
}

class NeuronPage {
  constructor(context, row, stats) {
    Object.assign(this, { context, row, stats, lists: [] });
    const { manifest } = context.dataset;
    this.gated = manifest.model.gated !== false;
    this.cosines = new CosineTable([row], manifest.config?.weights?.threshold ?? null);
    this.readout = new Readout();
    this.tokensPlace = h("div", { class: "weight-tokens-place" });
    this.examplesPlace = h("section", { "aria-labelledby": "examples-title" });
    this.element = h("div", { class: "neuron" }, this.readout.element,
      h("div", { class: "neuron-facts" }, stats.length > 0 && this.combinations(), this.weights()),
      this.tokensPlace, this.examplesPlace);
    this.say("Reading the examples …", "loading");
  }

  combinations() {
    const { dataset } = this.context;
    const go = (combo) => this.goToList(combo);
    this.table = new CombinationTable(this.stats, go);
    return h("section", { class: "neuron-combinations", "aria-labelledby": "combinations-title" },
      h("h2", { id: "combinations-title" }, "Sign combinations"),
      h("div", { class: "side-by-side" }, mosaic(this.stats, go), this.table.element),
      note(countedSentence(this.stats, dataset.lacks("sign_stats", "n_tokens"))));
  }

  weights() {
    const { row, gated, cosines } = this;
    const nothing = because("Nothing is known of the weights of this neuron",
      this.context.dataset.lacks("neurons", "cos_in_out"));
    return h("section", { class: "neuron-weights", "aria-labelledby": "weights-title" },
      h("h2", { id: "weights-title" }, "Weights"),
      tellsOfWeights(row) ? [classLine(row, gated), cosines.element, norms([row])]
        : note(nothing));
  }

  say(text, name = "note") {
    fill(this.examplesPlace, this.examplesTitle(),
      h("p", { class: name, role: name === "loading" ? "status" : null }, text));
  }

  examplesTitle() {
    return h("h2", { id: "examples-title" }, "Examples");
  }

  /** What is shown when it is there; what is missing is said in its place. */
  addRest(reading) {
    const { dataset, signal } = this.context;
    const said = (place) => (error) => {
      if (!(error instanceof ReadError)) console.error(error);
      fill(place, h("p", { class: "problem", role: "alert" }, error.message));
    };
    const examples = Promise.all([reading.examples, reading.vocab]).then(([rows, vocab]) => {
      if (!signal.aborted) this.addExamples(rows, vocab);
    }).catch(said(this.examplesPlace));
    const tokens = Promise.all([reading.tokens, reading.vocab]).then(([rows, vocab]) => {
      if (!signal.aborted && rows.length) this.addTokens(rows, vocab);
    }).catch(said(this.tokensPlace));
    // A layer's own numbers are not waited for.
    Promise.all([examples, tokens]).then(() => dataset.layerRow(this.row.layer)).then((row) => {
      this.cosines.addLayer(row);
    }).catch(said(this.cosines.note));
    return Promise.all([examples, tokens]);
  }

  addTokens(rows, vocab) {
    fill(this.tokensPlace, h("details", { open: !matchMedia(NARROW).matches },
      h("summary", {}, h("h2", {}, "Tokens of the weights")),
      h("p", { class: "note" },
        "Those whose embedding or unembedding has the highest and the lowest dot product with ",
        "each weight."),
      weightTokens(rows, vocab)));
  }

  addExamples(rows, vocab) {
    const { context } = this;
    if (!this.stats.length) {
      this.say("Nothing was scanned for this dataset: it holds what the weights say, no texts.");
      return;
    }
    this.table.addExtremes(rows);
    const side = sideOf(context.dataset, rows, vocab, this.stats, this.readout, context.signal);
    if (!side.rankings.length) {
      this.say(`The dataset holds no examples of neuron ${this.row.layer}.${this.row.neuron}.`);
      return;
    }
    this.lists = COMBOS.map((combo) => new ExampleList(side, combo));
    const panel = h("div", { class: "lists" },
      [this.lists.slice(0, 2), this.lists.slice(2)].map((lists) =>
        h("div", { class: "list-column" }, lists.map((list) => list.element))));
    const { lists, readout } = this;
    fill(this.examplesPlace, this.examplesTitle(),
      chosenLists(context, { sides: [side], lists, panel, readout }));
  }

  goToList(combo) {
    const list = this.lists.find((one) => one.combo === combo);
    list?.title.scrollIntoView({ block: "start" });
    list?.title.focus({ preventScroll: true });
  }
}
