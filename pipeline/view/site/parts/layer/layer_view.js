/** What a layer's page shows: its state, which lies in the address, and how its parts follow it. */

import { COSINES, FREQUENCIES, axesOf, axisNamed, shown } from "../../axes.js";
import { ReadError } from "../../data/errors.js";
import { fill, h } from "../../dom.js";
import { correlation } from "../../statistics.js";
import { axisSelect } from "../charts/axis_select.js";
import { Histogram } from "../charts/histogram.js";
import { Scatter } from "../charts/scatter.js";
import { lackOf, scatterNote } from "../charts/scatter_note.js";
import { isIn, neuronList, parsedRange, rangeText } from "../conditions.js";
import { correlationList } from "../correlations.js";
import { unbroken } from "../note.js";
import { axisColumn, idOf, nameColumns } from "../tables/neuron_columns.js";
import { Table } from "../tables/table.js";
import { ChoiceBar } from "./choice_bar.js";
import { classCounts, classLegend } from "./class_legend.js";

const IN_POS = axisNamed("frequency_in_pos");
// Columns that the table has besides those of the chart.
const ALWAYS = [...COSINES, axisNamed("frequency_gate_pos"), ...FREQUENCIES];

/** The state and the parts of one layer's page. */
export class LayerView {
  /**
   * @param {object} context what a page is given (app.js)
   * @param {import("../../data/neurons.js").LayerNumbers} numbers
   */
  constructor(context, numbers) {
    Object.assign(this, { context, numbers, layer: numbers.layer });
    const { dataset, params } = context;
    const named = (key, standard) =>
      axesOf(dataset).find(({ name }) => name === params.get(key)) ?? axisNamed(standard);
    this.x = named("x", "cos_in_out");
    this.y = named("y", dataset.hasScan ? "frequency_gate_pos" : "cos_gate_in");
    this.ranges = { x: parsedRange(params.get("x_range")), y: parsedRange(params.get("y_range")) };
    this.classes = new Set((params.get("class") ?? "").split(",").filter(Boolean));
    this.neurons = params.get("neurons") ?? "";
    this.isZoomed = params.get("zoom") === "1";
  }

  /** Reads what is shown at first; gives what is wrong, if anything is. */
  readFirst() {
    const there = axesOf(this.context.dataset);
    const wanted = [...new Set([this.x, this.y, ...ALWAYS])];
    return this.read(wanted.filter((axis) => there.includes(axis)));
  }

  async read(axes) {
    try {
      await this.numbers.need(axes);
      return null;
    } catch (error) {
      if (error instanceof ReadError) return error;
      throw error;
    }
  }

  /** Axes to choose from: those that were read and have no value are none, but for the chosen. */
  available() {
    const { numbers, x, y } = this;
    return axesOf(this.context.dataset).filter(
      (axis) => axis === x || axis === y || !numbers.has(axis) || numbers.isKnown(axis));
  }

  /**
   * The elements of the page, below its head.
   *
   * @param {[number, number]|null} region where the cosines of random vectors lie
   * @returns {HTMLElement[]}
   */
  build(region) {
    const { context, numbers } = this;
    const { signal, link, params, dataset } = context;
    this.region = region;
    if (!numbers.has(this.x)) this.x = axisNamed("cos_in_out");
    if (!numbers.has(this.y)) this.y = axisNamed("cos_gate_in");
    // Of a cosine that nobody asked for there may be none.
    if (!params.has("x") && this.y.kind === "share" && !numbers.isKnown(this.x)) this.x = IN_POS;
    const open = (i) => {
      location.hash = link(`neuron/${this.layer}.${numbers.neuron[i]}`);
    };
    const label = `All neurons of layer ${this.layer} by two numbers`;
    this.scatter = new Scatter({
      label, signal, words: (i) => this.words(i), onopen: open,
      onpoint: (i) => this.table.mark(i),
      onrange: (x, y) => this.setRanges({ x, y }),
    });
    this.histograms = [new Histogram(signal), new Histogram(signal)];
    this.table = new Table({
      label: `Neurons of layer ${this.layer}`, columns: this.columns(),
      sort: params.get("sort") ?? "",
      onsort: (sort) => context.keep({ sort }), onlook: (i) => this.scatter.look(i),
      empty: numbers.n ? "No neuron is chosen: widen the choice." : "This layer has no neurons.",
      file: `${dataset.name}-layer-${this.layer}.csv`,
    });
    this.title = h("h2", { id: "chart-title" });
    this.note = h("p", { class: "note" });
    this.figures = h("div", { class: "correlations" });
    this.bar = new ChoiceBar({
      neurons: this.neurons,
      onneurons: (neurons) => this.setNeurons(neurons),
      onranges: (ranges) => this.takeRanges(ranges),
      onclear: () => this.clear(),
      onzoom: () => this.zoom(),
    });
    this.legend = classLegend({
      counts: classCounts(numbers), chosen: this.classes,
      why: numbers.hasClasses || !numbers.n ? null : dataset.lacks("neurons", "io_class"),
      onchoose: () => {
        context.keep({ class: [...this.classes].join(",") });
        this.choose();
      },
    });
    const elements = [
      h("section", { class: "chart-and-side", "aria-labelledby": "chart-title" },
        h("div", { class: "chart" }, this.title,
          h("div", { class: "controls" }, this.axisChoice("x", "Horizontal"),
            this.axisChoice("y", "Vertical")),
          this.scatter.element, this.note),
        h("div", { class: "side" },
          h("h3", {}, "Correlation"), this.figures,
          h("h3", {}, "Classes"), this.legend.element)),
      h("section", {}, h("h2", {}, "How they are spread"),
        h("div", { class: "two" }, this.histograms.map(({ element }) => element))),
      h("section", {}, h("h2", { id: "table-title" }, "Neurons"), this.bar.element,
        this.table.element),
    ];
    this.showAxes();
    return elements;
  }

  axisChoice(side, label) {
    return axisSelect({
      id: `axis-${side}`, label, axes: this.available(), chosen: this[side],
      onchange: (axis) => this.setAxis(side, axis),
    });
  }

  async setAxis(side, axis) {
    this.scatter.element.setAttribute("aria-busy", "true");
    const problem = await this.read([axis]);
    if (this.context.signal.aborted) return;
    this.scatter.element.removeAttribute("aria-busy");
    if (problem) {
      fill(this.note, problem.message);
      return;
    }
    this[side] = axis;
    this.ranges[side] = null;
    this.context.keep({ [side]: axis.name, [`${side}_range`]: null });
    this.table.setColumns(this.columns());
    this.showAxes();
  }

  setRanges(ranges) {
    this.takeRanges(ranges);
    this.showFields();
  }

  /** Ranges out of the fields, which stay as they are: somebody types there. */
  takeRanges(ranges) {
    Object.assign(this.ranges, ranges);
    this.context.keep({ x_range: rangeText(this.ranges.x), y_range: rangeText(this.ranges.y) });
    if (this.isZoomed) this.drawChart();
    this.choose();
  }

  setNeurons(neurons) {
    this.neurons = neurons;
    this.context.keep({ neurons });
    this.choose();
  }

  columns() {
    const at = (i) => ({ numbers: this.numbers, i });
    const axes = [...new Set([this.x, this.y, ...ALWAYS])];
    return [
      ...nameColumns(at, (path) => this.context.link(path), this.numbers.hasClasses),
      ...axes.filter((axis) => this.isShown(axis)).map((axis) => axisColumn(axis, at)),
    ];
  }

  /** Whether neurons have numbers of an axis that was read. */
  isShown(axis) {
    return this.numbers.has(axis) && (this.numbers.isKnown(axis) || !this.numbers.n);
  }

  words(i) {
    const { numbers } = this;
    const lines = [idOf({ numbers, i }), numbers.hasClasses && numbers.classOf(i)].filter(Boolean);
    const others = ["cos_in_out", "cos_gate_in", "frequency_gate_pos"].map(axisNamed);
    for (const axis of new Set([this.x, this.y, ...others])) {
      if (!this.isShown(axis)) continue;
      lines.push(`${axis.label} ${shown(axis, this.numbers.values(axis)[i])}`);
    }
    return lines;
  }

  /** What a chart is told of one side. */
  side(name) {
    const axis = this[name];
    const region = axis.kind === "cosine" ? this.region : null;
    const range = this.isZoomed ? this.ranges[name] : null;
    const values = this.numbers.values(axis);
    return { axis, values, region, range, lack: lackOf(axis, values, this.context.dataset) };
  }

  showAxes() {
    fill(this.title, `${this.y.label} against ${this.x.label}`);
    this.drawChart();
    this.correlation = null;
    this.showFields();
    this.choose();
  }

  drawChart() {
    const { numbers } = this;
    const { classes, classNames } = numbers;
    const [x, y] = [this.side("x"), this.side("y")];
    this.scatter.show({ x, y, classes, classNames });
    fill(this.note, unbroken(scatterNote(x, y)));
    this.scatter.element.hidden = !(numbers.isKnown(this.x) && numbers.isKnown(this.y));
  }

  zoom() {
    this.isZoomed = !this.isZoomed;
    this.context.keep({ zoom: this.isZoomed ? 1 : null });
    this.drawChart();
    this.showChosen();
  }

  showFields() {
    this.bar.showRanges(["x", "y"].map((name) => ({
      axis: this[name], range: this.ranges[name], isKnown: this.isShown(this[name]),
    })));
  }

  choose() {
    const { numbers, ranges } = this;
    const [xs, ys] = [this.numbers.values(this.x), this.numbers.values(this.y)];
    const isListed = neuronList(this.neurons);
    const hasClass = numbers.classNames.map((name) => !this.classes.size || this.classes.has(name));
    const isChosen = new Uint8Array(numbers.n);
    const rows = [];
    for (let i = 0; i < numbers.n; i += 1) {
      if (!hasClass[numbers.classes[i]]) continue;
      if (!isIn(ranges.x, xs[i]) || !isIn(ranges.y, ys[i])) continue;
      if (isListed && !isListed(numbers.neuron[i])) continue;
      isChosen[i] = 1;
      rows.push(i);
    }
    const isPart = rows.length < numbers.n || Boolean(this.classes.size);
    const chosen = isPart ? isChosen : null;
    this.scatter.choose(chosen);
    this.table.show(rows);
    // The chart and the table first; what is computed of all neurons in turns after them.
    clearTimeout(this.later);
    this.later = setTimeout(() => this.summarise(rows, isPart, chosen), 20);
    this.nChosen = rows.length;
    this.showChosen();
  }

  showChosen() {
    const { numbers, nChosen, isZoomed, ranges } = this;
    this.bar.showChosen({
      n: numbers.n, nChosen, isZoomed,
      canClear: nChosen < numbers.n || this.classes.size > 0,
      canZoom: Boolean(ranges.x || ranges.y),
    });
  }

  summarise(rows, isPart, chosen) {
    const [xs, ys] = [this.numbers.values(this.x), this.numbers.values(this.y)];
    ["x", "y"].forEach(
      (name, place) => this.histograms[place].show({ ...this.side(name), isChosen: chosen }));
    this.correlation ??= correlation(xs, ys);
    const of = (values) => rows.map((i) => values[i]);
    fill(this.figures, correlationList(this.correlation, `neurons of layer ${this.layer}`),
      isPart && [
        h("h4", {}, "Of those that are chosen"),
        correlationList(correlation(of(xs), of(ys)), "neurons"),
      ],
      h("p", { class: "note" }, "In brackets: 95% intervals."));
  }

  clear() {
    this.classes.clear();
    this.neurons = "";
    this.bar.setNeurons("");
    this.ranges = { x: null, y: null };
    this.isZoomed = false;
    this.context.keep({ class: null, neurons: null, x_range: null, y_range: null, zoom: null });
    this.legend.paint();
    this.showFields();
    this.drawChart();
    this.choose();
  }
}
