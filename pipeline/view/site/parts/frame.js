/** What stands above and below every page: where to go, the light, what was read. */

import { fill, h } from "../dom.js";
import { bytes } from "../numbers.js";
import { parsedNeuron } from "../router.js";

const THEMES = { auto: "Auto", light: "Light", dark: "Dark" };
const STORED = "gatescope-theme";

/** @param {HTMLElement} header @param {object} context what a page is given (app.js) */
export function renderHeader(header, context) {
  const { dataset, datasets, link, page } = context;
  const item = (name, to, text) =>
    h("a", { href: to, "aria-current": page === name ? "page" : null }, text);
  fill(
    header,
    h("a", { class: "brand", href: datasets.length > 1 ? "#/datasets" : "#/model" }, "Gatescope"),
    dataset && h("nav", { "aria-label": "Pages" },
      item("model", link("model"), dataset.name),
      item("layer", link(`layer/${dataset.layers[0]}`), "Layers"),
      item("find", link("find"), "Find"),
      item("compare", link("compare"), "Compare"),
      dataset.live && item("text", link("text"), "Try a text")),
    dataset && goTo(context),
    theme(),
  );
}

/** @param {HTMLElement} footer @param {object} context what a page is given (app.js) */
export function renderFooter(footer, { dataset, signal }) {
  const say = () =>
    fill(footer, dataset && `${bytes(dataset.bytesRead())} of the dataset read so far.`);
  dataset?.ranges.addEventListener("read", say, { signal });
  say();
}

/** Put the theme that was chosen last in force. */
export function applyTheme(name = stored()) {
  if (name === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", name);
}

function goTo({ dataset, link }) {
  const input = h("input", {
    id: "goto", type: "text", inputmode: "decimal", autocomplete: "off", spellcheck: "false",
    placeholder: `${dataset.layers.at(-1)}.0`, size: "9", "aria-describedby": "goto-problem",
  });
  const problem = h("span", { id: "goto-problem", class: "problem", role: "status" });
  const go = (event) => {
    event.preventDefault();
    const found = parsedNeuron(input.value);
    if (found && dataset.hasNeuron(found.layer, found.neuron)) {
      location.hash = link(`neuron/${found.layer}.${found.neuron}`);
      return;
    }
    fill(problem, found ? `no neuron ${input.value.trim()}` : "write layer.neuron");
  };
  return h("form", { class: "goto", role: "search", onsubmit: go },
    h("label", { for: "goto" }, "Neuron"), input, h("button", { type: "submit" }, "Go"), problem);
}

function theme() {
  const chosen = stored();
  const options = Object.entries(THEMES).map(([name, text]) =>
    h("option", { value: name, selected: name === chosen }, text));
  const change = (event) => {
    try {
      localStorage.setItem(STORED, event.target.value);
    } catch {
      // Where a browser keeps nothing the choice holds for this page.
    }
    applyTheme(event.target.value);
  };
  return h("label", { class: "theme" }, h("span", { class: "unseen" }, "Colours"),
    h("select", { onchange: change }, options));
}

function stored() {
  try {
    const name = localStorage.getItem(STORED);
    return name in THEMES ? name : "auto";
  } catch {
    return "auto";
  }
}

applyTheme();
