/** One layer: a scatter of all its neurons, how they are spread, and a table of them. */

import { axesOf, axisNamed, shown } from "../axes.js";
import { ReadError } from "../data/errors.js";
import { layerNumbers } from "../data/neurons.js";
import { fill, h } from "../dom.js";
import { count, short } from "../numbers.js";
import { correlation } from "../statistics.js";
import { isIn, neuronList, parsedRange, rangeText } from "../parts/choice.js";
import { classCounts, classLegend } from "../parts/class_legend.js";
import { correlationList } from "../parts/correlations.js";
import { Histogram } from "../parts/histogram.js";
import { layerLinks } from "../parts/layer_links.js";
import { axisColumn, idOf, nameColumns } from "../parts/neuron_columns.js";
import { rangeFields } from "../parts/range_fields.js";
import { Scatter } from "../parts/scatter.js";
import { Table } from "../parts/table.js";

// Columns that the table has besides those of the chart.
const ALWAYS = [
  "cos_in_out", "cos_gate_out", "cos_gate_in", "frequency_gate_pos",
  "frequency_gate_pos_in_pos", "frequency_gate_pos_in_neg", "frequency_gate_neg_in_pos", "frequency_gate_neg_in_neg",
];

/** The page's title. */
export function title({ path, dataset }) {
  return `Layer ${path || dataset.layers[0]} · ${dataset.name}`;
}

/** @param {object} context what a page is given (app.js) */
export async function render(context) {
  const { dataset, path, main } = context;
  const layer = path === "" ? dataset.layers[0] : Number(path);
  if (!dataset.layers.includes(layer)) {
    throw new ReadError(`There is no layer ${path} in ${dataset.name}: it has ${dataset.layers.join(", ")}`);
  }
  const numbers = layerNumbers(dataset, layer);
  const page = new LayerPage(context, layer, numbers);
  const [problem, region] = await Promise.all([page.read(axesOf(dataset).filter(isAlways)), regionOf(dataset, layer)]);
  if (problem && !numbers.n) throw problem;
  const chosen = await page.read([page.x, page.y]);
  page.build(region);
  fill(main, layerLinks(context, layer),
    [problem, chosen].map((error) => error && h("p", { class: "failure", role: "alert" }, error.message)),
    page.elements);
}

function isAlways({ name }) {
  return ALWAYS.includes(name) || name.startsWith("norm_");
}

/** Where the cosines of random vectors lie, or what is wrong. */
async function regionOf(dataset, layer) {
  try {
    const row = (await dataset.layersTable()).find((one) => one.layer === layer);
    return Number.isFinite(row?.randomness_low) ? [row.randomness_low, row.randomness_high] : null;
  } catch (error) {
    if (error instanceof ReadError) return null;
    throw error;
  }
}

class LayerPage {
  constructor(context, layer, numbers) {
    Object.assign(this, { context, layer, numbers });
    const { dataset, params } = context;
    const named = (key, standard) =>
      axesOf(dataset).find(({ name }) => name === params.get(key)) ?? axisNamed(standard);
    this.x = named("x", "cos_in_out");
    this.y = named("y", dataset.hasScan ? "frequency_gate_pos" : "cos_gate_in");
    this.ranges = { x: parsedRange(params.get("x_range")), y: parsedRange(params.get("y_range")) };
    this.classes = new Set((params.get("class") ?? "").split(",").filter(Boolean));
    this.neurons = params.get("neurons") ?? "";
    this.isRead = new Map();
  }

  /** Reads axes; gives what is wrong, if anything is. */
  async read(axes) {
    try {
      await this.numbers.need(axes);
      return null;
    } catch (error) {
      if (error instanceof ReadError) return error;
      throw error;
    }
  }

  /** Axes that are read and have a value. */
  available() {
    return axesOf(this.context.dataset).filter(
      (axis) => !this.numbers.has(axis) || this.values(axis).some(Number.isFinite),
    );
  }

  values(axis) {
    if (!this.isRead.has(axis)) this.isRead.set(axis, this.numbers.values(axis));
    return this.isRead.get(axis);
  }

  build(region) {
    const { context, numbers } = this;
    const { signal, link, params, dataset } = context;
    this.region = region;
    if (!numbers.has(this.x)) this.x = axisNamed("cos_in_out");
    if (!numbers.has(this.y)) this.y = axisNamed("cos_gate_in");
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
      label: `Neurons of layer ${this.layer}`, columns: this.columns(), sort: params.get("sort") ?? "",
      onsort: (sort) => context.keep({ sort }), onlook: (i) => this.scatter.look(i),
      empty: "No neuron is chosen: widen the choice.", file: `${dataset.name}-layer-${this.layer}.csv`,
    });
    this.title = h("h2", { id: "chart-title" });
    this.missing = h("p", { class: "note" });
    this.figures = h("div", { class: "correlations" });
    this.chosen = h("p", { class: "chosen controls", role: "status" });
    this.fields = h("div", { class: "controls ranges" });
    this.legend = classLegend({
      counts: classCounts(numbers), chosen: this.classes,
      onchoose: () => {
        context.keep({ class: [...this.classes].join(",") });
        this.choose();
      },
    });
    this.elements = [
      h("section", { class: "chart-and-side", "aria-labelledby": "chart-title" },
        h("div", { class: "chart" }, this.title,
          h("div", { class: "controls" }, this.axisChoice("x", "Horizontal"), this.axisChoice("y", "Vertical")),
          this.scatter.element, this.missing),
        h("div", { class: "side" },
          h("h3", {}, "Correlation"), this.figures,
          h("h3", {}, "Classes"), this.legend.element)),
      h("section", {}, h("h2", {}, "How they are spread"),
        h("div", { class: "two" }, this.histograms.map(({ element }) => element))),
      h("section", {}, h("h2", { id: "table-title" }, "Neurons"), this.fields, this.chosen, this.table.element),
    ];
    this.showAxes();
  }

  axisChoice(side, words) {
    const axes = this.available();
    const groups = [...new Set(axes.map(({ group }) => group))];
    const select = h("select", { id: `axis-${side}`, onchange: () => this.setAxis(side, axisNamed(select.value)) },
      groups.map((group) => h("optgroup", { label: group },
        axes.filter((axis) => axis.group === group).map((axis) =>
          h("option", { value: axis.name, selected: axis === this[side] }, axis.label)))));
    return h("label", {}, `${words} `, select);
  }

  async setAxis(side, axis) {
    this.scatter.element.setAttribute("aria-busy", "true");
    const problem = await this.read([axis]);
    if (this.context.signal.aborted) return;
    this.scatter.element.removeAttribute("aria-busy");
    if (problem) {
      fill(this.missing, problem.message);
      return;
    }
    this[side] = axis;
    this.ranges[side] = null;
    this.context.keep({ [side]: axis.name, [`${side}_range`]: null });
    this.table.setColumns(this.columns());
    this.showAxes();
  }

  setRanges(ranges) {
    Object.assign(this.ranges, ranges);
    this.context.keep({ x_range: rangeText(this.ranges.x), y_range: rangeText(this.ranges.y) });
    this.showFields();
    this.choose();
  }

  columns() {
    const at = (i) => ({ numbers: this.numbers, i });
    const names = new Set([this.x.name, this.y.name, ...ALWAYS]);
    return [
      ...nameColumns(at, (path) => this.context.link(path)),
      ...[...names].map(axisNamed).filter((axis) => this.numbers.has(axis)).map((axis) => {
        const values = this.values(axis);
        return axisColumn(axis, (i) => values[i]);
      }),
    ];
  }

  words(i) {
    const lines = [idOf({ numbers: this.numbers, i }), this.numbers.classOf(i)];
    const names = new Set([this.x.name, this.y.name, "cos_in_out", "cos_gate_in", "frequency_gate_pos"]);
    for (const axis of [...names].map(axisNamed)) {
      if (this.numbers.has(axis)) lines.push(`${axis.label} ${shown(axis, this.values(axis)[i])}`);
    }
    return lines;
  }

  regionFor(axis) {
    return axis.kind === "cosine" ? this.region : null;
  }

  showAxes() {
    const { x, y, numbers } = this;
    const [xs, ys] = [this.values(x), this.values(y)];
    fill(this.title, `${y.label} against ${x.label}`);
    let nMissing = 0;
    for (let i = 0; i < numbers.n; i += 1) if (!Number.isFinite(xs[i]) || !Number.isFinite(ys[i])) nMissing += 1;
    const hasRegion = this.regionFor(x) || this.regionFor(y);
    fill(this.missing,
      `n = ${count(numbers.n - nMissing)} neurons.`,
      nMissing > 0 && ` ${count(nMissing)} ${nMissing === 1 ? "has" : "have"} no finite value on both axes: not drawn.`,
      hasRegion && ` The grey band, ${short(this.region[0])} to ${short(this.region[1])}: 95% of the cosines of random vectors.`);
    this.scatter.show({
      x: { axis: x, values: xs, region: this.regionFor(x) },
      y: { axis: y, values: ys, region: this.regionFor(y) },
      classes: numbers.classes, classNames: numbers.classNames,
    });
    this.correlation = null;
    this.showFields();
    this.choose();
  }

  showFields() {
    const range = (side) => rangeFields({
      label: this[side].label, range: this.ranges[side], isShare: this[side].kind === "share",
      onchange: (found) => this.setRanges({ [side]: found }),
    });
    const neurons = h("input", { type: "text", id: "neuron-list", value: this.neurons, placeholder: "7, 20-30", size: "12", autocomplete: "off" });
    neurons.addEventListener("input", () => {
      this.neurons = neurons.value;
      this.context.keep({ neurons: this.neurons });
      this.choose();
    });
    fill(this.fields, h("label", {}, "Indices ", neurons), range("x"), this.x === this.y ? null : range("y"));
  }

  choose() {
    const { numbers, ranges } = this;
    const [xs, ys] = [this.values(this.x), this.values(this.y)];
    const isListed = neuronList(this.neurons);
    const hasClass = numbers.classNames.map((name) => !this.classes.size || this.classes.has(name));
    const isChosen = new Uint8Array(numbers.n);
    const rows = [];
    for (let i = 0; i < numbers.n; i += 1) {
      if (!hasClass[numbers.classes[i]] || !isIn(ranges.x, xs[i]) || !isIn(ranges.y, ys[i])) continue;
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
    fill(this.chosen, `${count(rows.length)} of ${count(numbers.n)} neurons`,
      isPart && h("button", { type: "button", onclick: () => this.clear() }, "Choose all"));
  }

  summarise(rows, isPart, chosen) {
    const [xs, ys] = [this.values(this.x), this.values(this.y)];
    [this.x, this.y].forEach((axis, side) =>
      this.histograms[side].show({ axis, values: side ? ys : xs, isChosen: chosen, region: this.regionFor(axis) }));
    this.correlation ??= correlation(xs, ys);
    const of = (values) => rows.map((i) => values[i]);
    fill(this.figures, correlationList(this.correlation, `neurons of layer ${this.layer}`),
      isPart && [h("h4", {}, "Of those that are chosen"), correlationList(correlation(of(xs), of(ys)), "neurons")],
      h("p", { class: "note" }, "In brackets: 95% intervals."));
  }

  clear() {
    this.classes.clear();
    this.neurons = "";
    this.ranges = { x: null, y: null };
    this.context.keep({ class: null, neurons: null, x_range: null, y_range: null });
    this.legend.paint();
    this.showFields();
    this.choose();
  }
}
