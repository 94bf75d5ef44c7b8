/** A text of one's own through the model, where the server runs it. */

import { ReadError } from "../data/errors.js";
import { MAX_CHARACTERS, ask } from "../data/live.js";
import { namedNeuron, requireNeuron } from "../data/neuron_reading.js";
import { fill, h } from "../dom.js";
import { count } from "../numbers.js";
import { Readout } from "../parts/examples/readout.js";
import { neuronAlong, strongest } from "../parts/reactions.js";
import { parsedNeuron } from "../router.js";
import { QUANTITIES } from "../words.js";

/** The page's title. */
export function title() {
  return "Try a text";
}

/** @param {object} context what a page is given (app.js) */
export async function render(context) {
  const { dataset, main, params } = context;
  main.append(h("h1", { tabindex: "-1" }, "Try a text"));
  if (!dataset.live) {
    main.append(
      h("p", {}, "This takes the model, which does not run beside this dataset. Start it with"),
      h("pre", {}, h("code", {}, "gatescope serve DATASET --model")),
      h("p", {}, "and open the address that it prints. Everything else here needs no model."));
    return;
  }
  const trial = new Trial(context);
  if (params.get("text")) trial.submit();
}

class Trial {
  constructor(context) {
    this.context = context;
    this.readout = new Readout();
    this.result = h("section", { class: "reactions", "aria-label": "What the model says" });
    this.status = h("p", { role: "status" });
    this.asking = new AbortController();
    context.signal.addEventListener("abort", () => this.asking.abort());
    context.main.append(this.makeForm(), this.status, this.readout.element, this.result);
  }

  makeForm() {
    const { dataset, params } = this.context;
    const named = parsedNeuron(params.get("neuron"));
    const layer = Number(params.get("layer") ?? named?.layer ?? dataset.layers[0]);
    const ofLayer = params.has("layer") && !named;
    this.text = h("textarea", {
      id: "text", rows: "4", maxlength: String(MAX_CHARACTERS), required: true,
      spellcheck: "false", dir: "auto",
    });
    this.text.value = (params.get("text") ?? "").slice(0, MAX_CHARACTERS);
    this.neuron = h("input", {
      id: "text-neuron", type: "text", size: "9", autocomplete: "off", spellcheck: "false",
      value: params.get("neuron") ?? `${dataset.layers[0]}.0`,
      "aria-label": "Neuron, as layer.neuron",
    });
    this.layer = h("select", { "aria-label": "Layer" }, dataset.layers.map((one) =>
      h("option", { value: one, selected: one === layer }, one)));
    const choice = (value, label, control, checked) => h("span", { class: "controls" },
      h("label", {}, h("input", { type: "radio", name: "what", value, checked }), " ", label),
      control);
    this.form = h("form", { class: "text-form", onsubmit: (event) => {
      event.preventDefault();
      this.submit();
    } },
    h("label", { for: "text" }, `Text (at most ${count(MAX_CHARACTERS)} characters)`),
    this.text,
    h("div", { class: "controls text-choices" },
      choice("neuron", "one neuron", this.neuron, !ofLayer),
      choice("layer", "the strongest of layer", this.layer, ofLayer),
      h("button", { type: "submit" }, "Run the model")));
    // Who writes a neuron, or takes a layer, wants that.
    const choose = (value) => () => {
      this.form.querySelector(`input[value="${value}"]`).checked = true;
    };
    this.neuron.addEventListener("input", choose("neuron"));
    this.layer.addEventListener("change", choose("layer"));
    return this.form;
  }

  async submit() {
    const { dataset, keep } = this.context;
    const what = new FormData(this.form).get("what");
    this.asking.abort();
    this.asking = new AbortController();
    const { signal } = this.asking;
    this.readout.hide();
    const text = this.text.value;
    try {
      const ofLayer = what === "layer";
      const question = { text, ...(ofLayer ? { layer: Number(this.layer.value) } : this.named()) };
      keep({
        text,
        neuron: ofLayer ? null : this.neuron.value.trim(),
        layer: ofLayer ? question.layer : null,
      });
      fill(this.status, "The model reads …");
      const [answer, vocab] = await Promise.all([ask(dataset, question, signal), dataset.vocab()]);
      if (signal.aborted) return;
      this.show(question, answer, vocab);
      fill(this.status, `The model read ${answer.tokens.length} tokens.`);
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof ReadError)) throw error;
      fill(this.result);
      fill(this.status, h("span", { class: "problem" }, error.message));
    }
  }

  named() {
    const { dataset } = this.context;
    const here = namedNeuron(dataset, this.neuron.value);
    requireNeuron(dataset, here);
    return here;
  }

  show(question, answer, vocab) {
    const { dataset, params, keep, link } = this.context;
    const { layer, neuron, text } = question;
    if (neuron === undefined) {
      fill(this.result,
        h("h2", {}, `Layer ${layer}`),
        strongest(answer, {
          vocab, layer,
          neuronLink: (one) => link(`neuron/${layer}.${one}`),
          alongLink: (one) => link("text", { neuron: `${layer}.${one}`, text }),
        }));
      return;
    }
    const asked = params.get("colour");
    fill(this.result,
      h("h2", {}, h("a", { href: link(`neuron/${layer}.${neuron}`) }, `${layer}.${neuron}`)),
      neuronAlong(answer, {
        vocab, readout: this.readout,
        quantity: QUANTITIES.includes(asked) ? asked : "post",
        skipBos: dataset.manifest.config?.scan?.skip_bos !== false,
        onquantity: (quantity) => keep({ colour: quantity }),
      }));
  }
}
