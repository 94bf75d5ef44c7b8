/** Find by class, cosines and frequencies: conditions on the neurons of one layer or of all. */

import { COSINES, FREQUENCIES, axisNamed, columnsOf } from "../../axes.js";
import { because, whyOf } from "../../data/lackings.js";
import { LayerRun } from "../../data/layer_run.js";
import { layerNumbers, unknownOf } from "../../data/neurons.js";
import { surveyOf } from "../../data/survey.js";
import { fill, h } from "../../dom.js";
import { count } from "../../numbers.js";
import { CLASS_ORDER, inOrder, markOf } from "../classes.js";
import { isIn, parsedRange, rangeText } from "../conditions.js";
import { note } from "../note.js";
import { rangeFields } from "../range_fields.js";
import { readingBar } from "../reading_bar.js";
import { axisColumn, nameColumns } from "../tables/neuron_columns.js";
import { Table } from "../tables/table.js";
import { layerSelect } from "./layer_select.js";

const WITH_SCAN = "By class, cosines and frequencies";
const SURVEYED = [...COSINES, ...FREQUENCIES];

/** The section. @param {object} context what a page is given (app.js) */
export async function findNumbers(context) {
  const { dataset } = context;
  const axes = dataset.hasScan
    ? [...COSINES, axisNamed("frequency_gate_pos"), axisNamed("frequency_in_pos"), ...FREQUENCIES]
    : COSINES;
  const finder = new NumberFinder(context, axes, await unknownOf(dataset, axes));
  if (finder.hasConditions()) finder.start();
  return finder.element;
}

class NumberFinder {
  constructor(context, axes, unknown) {
    const { dataset, params } = context;
    Object.assign(this, { context, axes, unknown });
    this.ranges = new Map(this.axes.map((axis) => [axis, parsedRange(params.get(axis.name))]));
    this.classes = new Set((params.get("class") ?? "").split(",").filter(Boolean));
    this.layer =
      layerSelect(dataset, params.get("token") ? null : params.get("layer"), "numbers-layer");
    this.layer.addEventListener("change", () => this.begun && this.start());
    this.results = h("div", { id: "numbers-results" });
    const submit = (event) => {
      event.preventDefault();
      this.start();
    };
    const classBox = (name) => {
      const box = h("input", {
        type: "checkbox", checked: this.classes.has(name),
        onchange: () => {
          if (box.checked) this.classes.add(name);
          else this.classes.delete(name);
          this.change();
        },
      });
      return h("label", { class: "class-name" }, box, markOf(name), name);
    };
    this.element = h("section", { "aria-labelledby": "numbers-title" },
      h("h2", { id: "numbers-title" }, dataset.hasScan ? WITH_SCAN : "By class and cosines"),
      h("form", { onsubmit: submit },
        this.lackNote(),
        h("fieldset", { class: "classes", disabled: !unknown.hasClasses },
          h("legend", {}, "Classes (none: all)"),
          inOrder(new Set([...CLASS_ORDER, ...this.classes])).map(classBox)),
        h("div", { class: "conditions" }, this.axes.map((axis) => rangeFields({
          label: axis.label, range: this.ranges.get(axis), isShare: axis.kind === "share",
          isDisabled: unknown.axes.has(axis),
          onchange: (range) => {
            this.ranges.set(axis, range);
            this.change();
          },
        }))),
        h("div", { class: "controls" }, h("label", {}, "in ", this.layer),
          h("button", { type: "submit" }, "Find"))),
      this.results);
  }

  /** What cannot be chosen by, and why. */
  lackNote() {
    const { dataset } = this.context;
    const { axes, hasClasses } = this.unknown;
    const names = [...(hasClasses ? [] : ["a class"]), ...[...axes].map(({ label }) => label)];
    if (!names.length) return null;
    const columns = [...axes].flatMap(columnsOf);
    const why = whyOf(dataset, hasClasses ? columns : [["neurons", "io_class"], ...columns]);
    return note(because(`No neuron has ${inWords(names)}`, why));
  }

  hasConditions() {
    return this.classes.size > 0 || [...this.ranges.values()].some(Boolean);
  }

  change() {
    if (this.begun) {
      this.keep();
      this.all();
    }
  }

  keep() {
    this.context.keep({
      token: null, ids: null, ranking: null, in: null,
      layer: this.layer.value, class: [...this.classes].join(","),
      ...Object.fromEntries([...this.ranges].map(([axis, range]) => [axis.name, rangeText(range)])),
    });
  }

  /** The reading of one layer, or the survey of all. */
  runOf() {
    const { dataset } = this.context;
    if (this.layer.value === "") return surveyOf(dataset).run;
    const read = async function* read(layer) {
      await layerNumbers(dataset, layer).need(dataset.hasScan ? SURVEYED : COSINES);
    };
    return new LayerRun({ dataset, layers: [Number(this.layer.value)], read });
  }

  start() {
    const { context } = this;
    this.begun?.abort();
    this.begun = new AbortController();
    const { signal } = this.begun;
    context.signal.addEventListener("abort", () => this.begun.abort(), { signal });
    this.keep();
    const run = this.runOf();
    this.run = run;
    this.said = h("p", { role: "status" });
    this.table = new Table({
      label: "Neurons that meet the conditions", file: "neurons.csv",
      empty: "None in the layers that are read.",
      columns: [
        ...nameColumns(
          (row) => this.at(row), (path) => context.link(path), this.unknown.hasClasses),
        ...this.axes.filter((axis) => !this.unknown.axes.has(axis))
          .map((axis) => axisColumn(axis, (row) => this.at(row))),
      ],
    });
    fill(this.results, readingBar({ run, start: "Read", signal }), this.said, this.table.element);
    this.all();
    run.listen(() => this.more(), signal);
    signal.addEventListener("abort", () => run.leave());
    if (run.state !== "paused") run.start();
  }

  /** Everything anew, under other conditions. */
  all() {
    this.layers = [];
    this.layerOf = [];
    this.placeOf = [];
    this.more(true);
  }

  /** What the layers that came since add. @param {boolean} [isAnew] */
  more(isAnew = false) {
    const { dataset } = this.context;
    const fresh = this.run.done.slice(this.layers.length);
    for (const layer of fresh) this.add(layerNumbers(dataset, layer));
    if (!fresh.length && !isAnew) return;
    const n = this.layerOf.length;
    const nAll = this.layers.reduce((sum, numbers) => sum + numbers.n, 0);
    const isPart = this.layers.length < this.run.layers.length;
    fill(this.said, `${count(n)} of the ${count(nAll)} neurons`,
      isPart && ` of ${count(this.layers.length)} of ${count(this.run.layers.length)} layers`);
    this.table.show(Uint32Array.from({ length: n }, (_, row) => row), !isAnew);
  }

  add(numbers) {
    const nth = this.layers.push(numbers) - 1;
    const conditions = [...this.ranges].filter(([, range]) => range);
    const bounded = conditions.map(([axis, range]) => [numbers.values(axis), range]);
    const hasClass = numbers.classNames.map((name) => !this.classes.size || this.classes.has(name));
    for (let i = 0; i < numbers.n; i += 1) {
      if (!hasClass[numbers.classes[i]]) continue;
      if (!bounded.every(([values, range]) => isIn(range, values[i]))) continue;
      this.layerOf.push(nth);
      this.placeOf.push(i);
    }
  }

  at(row) {
    return { numbers: this.layers[this.layerOf[row]], i: this.placeOf[row] };
  }
}

/** `a, b or c`. @param {string[]} names */
function inWords(names) {
  if (names.length === 1) return names[0];
  return `${names.slice(0, -1).join(", ")} or ${names.at(-1)}`;
}
