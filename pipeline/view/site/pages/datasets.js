/** The datasets of this site, where there are several. */

import { h } from "../dom.js";
import { count } from "../numbers.js";
import { wide } from "../parts/tables/wide.js";
import { hashOf } from "../router.js";

/** The page's title. */
export function title() {
  return "Datasets";
}

/** @param {object} context what a page is given (app.js) */
export async function render({ datasets, open, main }) {
  const rows = await Promise.all(datasets.map((name) => open(name).then(row(name), broken(name))));
  const titles = ["Dataset", "Model", "Layers", "Neurons", "Tokens"];
  main.append(
    h("h1", { tabindex: "-1" }, "Datasets"),
    wide("Datasets",
      h("table", { class: "datasets" },
        h("thead", {}, h("tr", {}, titles.map((name, i) =>
          h("th", { scope: "col", class: i > 1 ? "number" : null }, name)))),
        h("tbody", {}, rows))),
  );
}

function row(name) {
  return (dataset) => {
    const { manifest } = dataset;
    const nNeurons = manifest.model.n_neurons.reduce((sum, n) => sum + n, 0);
    return h("tr", {},
      h("th", { scope: "row" }, h("a", { href: hashOf("model", { data: name }) }, name)),
      h("td", {}, manifest.model.name ?? "not known"),
      h("td", { class: "number" }, count(manifest.model.layers.length)),
      h("td", { class: "number" }, count(nNeurons)),
      h("td", { class: "number" }, tokensText(dataset)));
  };
}

function tokensText({ manifest, hasScan }) {
  if (!hasScan) return "weights alone";
  const nTokens = manifest.corpus?.n_tokens;
  return Number.isFinite(nTokens) ? count(nTokens) : "not known";
}

function broken(name) {
  return (error) =>
    h("tr", {}, h("th", { scope: "row" }, name), h("td", { colspan: "4" }, error.message));
}
