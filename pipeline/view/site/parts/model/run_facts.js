/** What was run, from the manifest. */

import { h } from "../../dom.js";
import { count, short } from "../../numbers.js";

const FLIPPED = "flipped so that cos(w_gate, w_in) ≥ 0";

/**
 * @param {import("../../data/dataset.js").Dataset} dataset
 * @returns {HTMLElement[]} lists of facts, and the whole manifest to unfold
 */
export function runFacts(dataset) {
  const { manifest, hasScan } = dataset;
  const { model, corpus, scan, config, hardware, packages, imported } = manifest;
  const settings = config?.scan ?? {};
  const isWindowless = imported && !Number.isFinite(imported.n_filled);
  const sections = {
    Model: {
      Name: model.name,
      Revision: manifest.settings?.["model.resolved_revision"] ?? model.revision,
      Architecture: model.architecture,
      "Activation function": model.act_fn,
      Layers: layersText(model),
      "Neurons a layer": range(model.n_neurons),
      "Size of the residual stream": whole(model.d_model),
      Vocabulary: whole(model.d_vocab),
      Precision: model.dtype,
      Attention: model.attention,
    },
    Corpus: hasScan && {
      Name: corpus?.name,
      From: corpus?.location,
      Examples: whole(corpus?.n_examples),
      Tokens: whole(corpus?.n_tokens),
      "Longest example": corpus?.longest && `${whole(corpus.longest)} tokens`,
      // Of a corpus that nobody gave the setting says nothing.
      "Cut at": Number.isFinite(corpus?.n_tokens) && config?.corpus?.max_length &&
        `${whole(config.corpus.max_length)} tokens`,
    },
    Scan: hasScan && {
      "Position 0": yesNo(settings.skip_bos, "left out", "counted"),
      Signs: yesNo(settings.canonical_signs, FLIPPED, "as the model has them"),
      Lists: settings.k && `${settings.k} examples by ${dataset.rankings.join(", ")}`,
      Duplicates: yesNo(settings.dedupe, "left out of the lists", "kept in the lists"),
      Window: settings.window && !isWindowless &&
        `${settings.window.before} tokens before a peak, ${settings.window.after} after`,
      "Threshold of the classes": config?.weights?.threshold,
    },
    Import: imported && {
      Format: imported.format,
      From: imported.source,
      "Entries of the lists": whole(imported.n_entries),
      "With a window": Number.isFinite(imported.n_filled) && count(imported.n_filled),
    },
    Run: {
      Finished: manifest.finished &&
        h("time", { datetime: manifest.finished }, dateText(manifest.finished)),
      Took: duration(scan?.wall_s ?? manifest.wall_s),
      Speed: scan?.tokens_per_s && `${count(Math.round(scan.tokens_per_s))} tokens/s`,
      Workers: scan?.workers && whole(scan.workers.length),
      Hardware: hardwareText(hardware),
      Gatescope: manifest.code_version,
      Packages: packages && packageText(packages),
    },
  };
  return [
    h("div", { class: "facts" },
      Object.entries(sections).map(([name, facts]) => facts && factList(name, facts))),
    h("details", {},
      h("summary", {}, "The whole manifest"),
      h("pre", { tabindex: "0", class: "manifest" },
        JSON.stringify({ ...manifest, files: undefined }, null, 2)),
      h("p", { class: "note" }, "Without the list of the files.")),
  ];
}

function factList(name, facts) {
  const missing = [null, undefined, "", false];
  const known = Object.entries(facts).filter(([, value]) => !missing.includes(value));
  if (!known.length) return null;
  return h("section", {},
    h("h3", {}, name),
    h("dl", {}, known.map(([term, value]) => h("div", {}, h("dt", {}, term), h("dd", {}, value)))));
}

function whole(value) {
  return Number.isFinite(value) ? count(value) : value;
}

function yesNo(value, yes, no) {
  return value === undefined || value === null ? null : value ? yes : no;
}

function layersText({ layers, n_layers: nLayers }) {
  const named = layers.length > 1 ? `${layers[0]} to ${layers.at(-1)}` : layers[0];
  return nLayers === layers.length || !nLayers
    ? `${count(layers.length)} (${named})`
    : `${count(layers.length)} of ${count(nLayers)}: ${layers.join(", ")}`;
}

function range(numbers) {
  const [least, most] = [Math.min(...numbers), Math.max(...numbers)];
  return least === most ? count(least) : `${count(least)} to ${count(most)}`;
}

function dateText(text) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return text;
  return `${date.toISOString().slice(0, 16).replace("T", " ")} UTC`;
}

function duration(seconds) {
  if (!Number.isFinite(seconds)) return null;
  if (seconds < 120) return `${short(seconds)} s`;
  return seconds < 7200 ? `${short(seconds / 60)} min` : `${short(seconds / 3600)} h`;
}

function hardwareText(hardware) {
  if (!hardware) return null;
  const parts = [
    hardware.accelerators?.length ? [hardware.accelerators].flat().map(nameOf).join(", ") : null,
    hardware.processor,
    hardware.cores && `${count(hardware.cores)} cores`,
    hardware.memory_gib && `${short(hardware.memory_gib)} GiB of memory`,
  ];
  return parts.filter(Boolean).join(", ");
}

function packageText(packages) {
  return Object.entries(packages).map(([name, version]) => `${name} ${version}`).join(", ");
}

function nameOf(accelerator) {
  return typeof accelerator === "string"
    ? accelerator
    : (accelerator?.name ?? JSON.stringify(accelerator));
}
