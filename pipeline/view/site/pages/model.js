/** What was run, its layers, the headline correlation, and neurons to start with. */

import { axisNamed } from "../axes.js";
import { ReadError } from "../data/errors.js";
import { because } from "../data/lackings.js";
import { surveyOf } from "../data/survey.js";
import { fill, h } from "../dom.js";
import { count } from "../numbers.js";
import { headline } from "../parts/model/headline.js";
import { layerOverview } from "../parts/model/layer_overview.js";
import { missingList } from "../parts/model/missing_list.js";
import { runFacts } from "../parts/model/run_facts.js";
import { startHere } from "../parts/model/start_here.js";
import { unlessUnknown } from "../parts/model/unless_unknown.js";
import { note } from "../parts/note.js";
import { readingBar } from "../parts/reading_bar.js";

const HEADLINE = ["cos_in_out", "frequency_gate_pos"].map(axisNamed);

/** The page's title. */
export function title({ dataset }) {
  return dataset.name;
}

/** @param {object} context what a page is given (app.js) */
export async function render(context) {
  const { dataset, main, signal } = context;
  const { manifest } = dataset;
  const survey = surveyOf(dataset);
  const { run } = survey;
  const layers = h("div", {}, h("p", { class: "loading" }, "Reading …"));
  fill(main,
    h("h1", { tabindex: "-1" }, dataset.modelName),
    h("p", { class: "lead" }, summary(dataset)),
    h("section", { "aria-labelledby": "run-title" },
      h("h2", { id: "run-title" }, "What was run"), runFacts(dataset), missingList(dataset)),
    h("section", { "aria-labelledby": "layers-title" },
      h("h2", { id: "layers-title" }, "Layers"), layers),
    h("section", { "aria-labelledby": "survey-title" },
      h("h2", { id: "survey-title" }, "All neurons"),
      readingBar({ run, start: "Read all layers", signal }),
      dataset.hasScan && [h("h3", {}, "Weights and activations"),
        unlessUnknown(context, survey, HEADLINE, headline(context, survey))],
      startHere(context, survey)));
  try {
    fill(layers, layerOverview(context, await dataset.layersTable()) ?? [
      note(because("Classes and cosines are not known", dataset.lacks("layers", "n_enrichment"))),
      layerLinks(context),
    ]);
  } catch (error) {
    if (!(error instanceof ReadError)) throw error;
    fill(layers, h("p", { class: "failure", role: "alert" }, error.message), layerLinks(context));
  }
  signal.addEventListener("abort", () => run.leave());
  if (!signal.aborted && run.state === "ready") run.start();
}

function summary({ manifest, layers, hasScan }) {
  const nNeurons = manifest.model.n_neurons.reduce((sum, n) => sum + n, 0);
  const of = layers.length === 1 ? "layer" : "layers";
  const neurons = `${count(nNeurons)} neurons in ${count(layers.length)} ${of}`;
  if (!hasScan) return `${neurons}: weights alone, without a corpus`;
  const { n_tokens: nTokens, name } = manifest.corpus ?? {};
  const corpus = name ?? "a corpus that is not named";
  const over = Number.isFinite(nTokens)
    ? `over ${count(nTokens)} tokens of ${corpus}` : `over ${corpus}`;
  const imported = manifest.imported?.format === "gluscope" ? ", imported from GLUScope" : "";
  return `${neurons}, ${over}${imported}`;
}

function layerLinks({ dataset, link }) {
  return h("ul", {}, dataset.layers.map((layer) =>
    h("li", {}, h("a", { href: link(`layer/${layer}`) }, `Layer ${layer}`))));
}
