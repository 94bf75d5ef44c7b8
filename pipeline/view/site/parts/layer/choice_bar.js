/** Fields that choose among the neurons of a layer, and how many are chosen. */

import { fill, h } from "../../dom.js";
import { count } from "../../numbers.js";
import { neuronList } from "../conditions.js";
import { rangeFields } from "../range_fields.js";

/** The fields of one layer's page. */
export class ChoiceBar {
  /**
   * @param {object} options
   * @param {string} options.neurons indices as they are typed
   * @param {(neurons: string) => void} options.onneurons
   * @param {(ranges: {x?: Range|null, y?: Range|null}) => void} options.onranges
   * @param {() => void} options.onclear everything is chosen again
   * @param {() => void} options.onzoom
   */
  constructor({ neurons, onneurons, onranges, onclear, onzoom }) {
    Object.assign(this, { onranges, onclear, onzoom });
    this.neurons = h("input", {
      type: "text", id: "neuron-list", placeholder: "7, 20-30", size: "12", autocomplete: "off",
      oninput: () => {
        this.markNeurons();
        onneurons(this.neurons.value);
      },
    });
    this.setNeurons(neurons);
    this.ranges = h("div", { class: "controls ranges" });
    this.chosen = h("span", { class: "chosen", role: "status" });
    this.actions = h("span", { class: "controls" });
    this.element = h("div", {},
      h("div", { class: "controls ranges" }, h("label", {}, "Indices ", this.neurons), this.ranges),
      h("div", { class: "controls" }, this.chosen, this.actions));
  }

  /** @param {string} text indices as they are typed */
  setNeurons(text) {
    this.neurons.value = text;
    this.markNeurons();
  }

  markNeurons() {
    const { value } = this.neurons;
    this.neurons.setAttribute("aria-invalid", String(Boolean(value.trim()) && !neuronList(value)));
  }

  /** The fields of two axes, of those that are known.
   * @param {{axis: Axis, range: Range|null, isKnown: boolean}[]} sides x and y */
  showRanges([x, y]) {
    const fields = (name, { axis, range, isKnown }) => rangeFields({
      label: axis.label, range, isShare: axis.kind === "share", isDisabled: !isKnown,
      onchange: (found) => this.onranges({ [name]: found }),
    });
    fill(this.ranges, fields("x", x), x.axis !== y.axis && fields("y", y));
  }

  /**
   * @param {object} state
   * @param {number} state.n neurons of the layer
   * @param {number} state.nChosen
   * @param {boolean} state.canClear
   * @param {boolean} state.canZoom whether a range is set
   * @param {boolean} state.isZoomed
   */
  showChosen({ n, nChosen, canClear, canZoom, isZoomed }) {
    const hadFocus = this.actions.contains(document.activeElement);
    const button = (text, onclick, pressed) =>
      h("button", { type: "button", "aria-pressed": pressed, onclick }, text);
    fill(this.chosen, `${count(nChosen)} of ${count(n)} neurons`);
    fill(this.actions,
      canClear && button("Choose all", this.onclear),
      canZoom && button("Zoom to the ranges", this.onzoom, String(isZoomed)));
    if (hadFocus) (this.actions.lastElementChild ?? this.neurons).focus();
  }
}

/**
 * @typedef {import("../conditions.js").Range} Range
 * @typedef {import("../../axes.js").Axis} Axis
 */
