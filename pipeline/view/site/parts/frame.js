/** What stands above and below every page: where to go, the light, what was read. */

import { fill, h } from "../dom.js";
import { bytes } from "../numbers.js";
import { neuronForm } from "./neuron_form.js";

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
    dataset && h("div", { role: "search" }, neuronForm(context, { id: "goto", label: "Neuron" })),
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
function applyTheme(name = stored()) {
  if (name === "auto") document.documentElement.removeAttribute("data-theme");
  else document.documentElement.setAttribute("data-theme", name);
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
