/** One layer: a scatter of all its neurons, how they are spread, and a table of them. */

import { ReadError } from "../data/errors.js";
import { layerNumbers, randomnessOf } from "../data/neurons.js";
import { fill, h } from "../dom.js";
import { layerLinks } from "../parts/layer/layer_head.js";
import { LayerView } from "../parts/layer/layer_view.js";

/** The page's title. */
export function title({ path, dataset }) {
  return `Layer ${path || dataset.layers[0]} · ${dataset.name}`;
}

/** @param {object} context what a page is given (app.js) */
export async function render(context) {
  const { dataset, path, main } = context;
  const layer = path === "" ? dataset.layers[0] : Number(path);
  if (!dataset.layers.includes(layer)) {
    throw new ReadError(
      `There is no layer ${path} in ${dataset.name}: it has ${dataset.layers.join(", ")}`,
    );
  }
  const numbers = layerNumbers(dataset, layer);
  const view = new LayerView(context, numbers);
  const [problem, region] = await Promise.all([view.readFirst(), randomnessOf(dataset, layer)]);
  if (problem && !numbers.n) throw problem;
  fill(main, layerLinks(context, layer),
    problem && h("p", { class: "failure", role: "alert" }, problem.message),
    view.build(region));
}
