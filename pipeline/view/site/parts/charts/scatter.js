/** A scatter of neurons: pointer, keyboard, a rectangle to choose by, and what a point is. */

import { titled } from "../../axes.js";
import { fill, h, svg } from "../../dom.js";
import { axes, band, margins } from "./plot.js";
import { domainOf, limitsOf, scale } from "./scales.js";
import { Points } from "./scatter_points.js";
import { onTheme, onWidth, rem } from "./screen.js";

const DIRECTIONS = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
let nScatters = 0;

/**
 * One axis of a chart: `region` is shaded, and only what lies in `range` is drawn; `lack` says how
 * many neurons have no number, where some have none.
 *
 * @typedef {{axis: import("../../axes.js").Axis, values: Float64Array,
 *   region: [number, number]|null, range: import("../conditions.js").Range|null,
 *   lack: string|null}} Side
 */

export class Scatter {
  /**
   * @param {object} options
   * @param {string} options.label what the chart shows, in a few words
   * @param {(i: number) => string[]} options.words what a point is, in lines; the first is its name
   * @param {(i: number) => void} options.onopen opens a point
   * @param {(i: number) => void} options.onpoint a point is looked at; -1 where none is
   * @param {(x: [number, number], y: [number, number]) => void} options.onrange a rectangle is
   *   drawn
   * @param {AbortSignal} options.signal
   */
  constructor({ label, words, onopen, onpoint, onrange, signal }) {
    Object.assign(this, { words, onopen, onpoint, onrange });
    nScatters += 1;
    const help = `scatter-help-${nScatters}`;
    this.under = svg("svg", { "aria-hidden": "true" });
    this.over = svg("svg", { class: "over", "aria-hidden": "true" });
    this.canvas = h("canvas", { role: "img", "aria-label": label });
    this.tip = h("div", { class: "tip", hidden: true });
    this.status = h("p", { class: "unseen", role: "status" });
    this.plot = h("div", {
      class: "plot", tabindex: "0", role: "application", "aria-roledescription": "scatter plot",
      "aria-label": label, "aria-describedby": help,
      onpointermove: (event) => this.move(event),
      onpointerdown: (event) => this.press(event),
      onpointerup: (event) => this.release(event),
      onpointercancel: () => this.endDrag(),
      // A finger that is lifted leaves too; what it touched stays shown.
      onpointerleave: (event) => this.drag || event.pointerType === "touch" || this.look(-1),
      onkeydown: (event) => this.key(event),
      onblur: () => this.look(-1),
    }, this.under, this.canvas, this.over, this.tip);
    this.element = h("div", { class: "scatter" }, this.plot, this.status,
      h("p", { class: "note", id: help },
        "Arrow keys go from neuron to neuron, with Shift farther; Enter opens one. ",
        "Drag a rectangle to choose by both axes. The table below holds the same neurons."));
    /** The point that is looked at. */
    this.at = -1;
    this.drag = null;
    this.data = null;
    onWidth(this.plot, (width) => this.resize(width), signal);
    onTheme(() => this.paint(), signal);
  }

  /**
   * Show points.
   *
   * @param {object} data
   * @param {Side} data.x
   * @param {Side} data.y
   * @param {Uint16Array} data.classes
   * @param {string[]} data.classNames
   */
  show(data) {
    this.data = data;
    this.at = -1;
    this.layOut();
  }

  /** Draw these strongly and the others faintly. @param {Uint8Array|null} isChosen null: all */
  choose(isChosen) {
    this.isChosen = isChosen;
    this.paint();
  }

  resize(width) {
    this.width = width;
    this.height = Math.round(Math.max(18 * rem(), Math.min(width * 0.72, 32 * rem())));
    this.plot.style.setProperty("height", `${this.height}px`);
    for (const drawing of [this.under, this.over]) {
      drawing.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    }
    this.layOut();
  }

  layOut() {
    if (!this.data || !this.width) return;
    const { width, height } = this;
    const { x, y } = this.data;
    const margin = margins();
    const unit = rem();
    const inner = [width - margin.left - margin.right, height - margin.top - margin.bottom];
    this.x = scale(domainWithin(x), [margin.left, width - margin.right],
      inner[0] / (4.2 * unit), x.axis.kind === "share");
    this.y = scale(domainWithin(y), [height - margin.bottom, margin.top],
      inner[1] / (3 * unit), y.axis.kind === "share");
    const bands = [];
    if (x.region) {
      const [from, to] = this.within(this.x, x.region);
      if (to > from) bands.push(band(from, margin.top, to - from, inner[1]));
    }
    if (y.region) {
      const [to, from] = this.within(this.y, y.region);
      if (to > from) bands.push(band(margin.left, from, inner[0], to - from));
    }
    fill(this.under, bands,
      axes({ width, height, margin, x: this.x, y: this.y, xLabel: titled(x.axis),
        yLabel: titled(y.axis) }));
    this.points =
      new Points({ x: x.values, y: y.values, xScale: this.x, yScale: this.y, width, height });
    this.paint();
    this.look(this.at);
  }

  within({ low, high, at }, [from, to]) {
    return [at(Math.max(low, Math.min(high, from))), at(Math.max(low, Math.min(high, to)))];
  }

  /** Draw the points, once for all that changes before the next frame. */
  paint() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.drawPoints());
  }

  drawPoints() {
    if (!this.points) return;
    const ratio = devicePixelRatio || 1;
    const [width, height] = [Math.round(this.width * ratio), Math.round(this.height * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
    }
    const { classes, classNames } = this.data;
    // Smaller on a small screen: there they lie closer.
    const radius = (this.width < 36 * rem() ? 0.21 : 0.29) * rem();
    this.points.draw(this.canvas, { classes, classNames, isChosen: this.isChosen ?? null, radius });
  }

  /** Mark a point and say what it is. @param {number} i -1: none @param {boolean} [aloud] */
  look(i, aloud = false) {
    const had = this.at;
    this.at = i;
    const isPlaced = i >= 0 && this.points?.x[i] >= 0;
    this.tip.hidden = !isPlaced;
    if (isPlaced) {
      const [x, y] = [this.points.x[i], this.points.y[i]];
      const words = this.words(i);
      fill(this.over, svg("circle", { class: "ring", cx: x, cy: y, r: 0.45 * rem() }),
        this.rectangle());
      fill(this.tip, words.map((line, place) => h(place ? "div" : "strong", {}, line)));
      const isRight = x > this.width / 2;
      this.tip.style.setProperty("left", isRight ? "auto" : `${x + 0.8 * rem()}px`);
      this.tip.style.setProperty("right", isRight ? `${this.width - x + 0.8 * rem()}px` : "auto");
      const isLow = y > this.height / 2;
      this.tip.style.setProperty("top", isLow ? "auto" : `${y}px`);
      this.tip.style.setProperty("bottom", isLow ? `${this.height - y}px` : "auto");
      if (aloud) fill(this.status, words.join(", "));
    } else {
      fill(this.over, this.rectangle());
    }
    if (had !== i) this.onpoint(i);
  }

  rectangle() {
    if (!this.drag?.to) return null;
    const { from, to } = this.drag;
    return svg("rect", {
      class: "choice",
      x: Math.min(from[0], to[0]), y: Math.min(from[1], to[1]),
      width: Math.abs(from[0] - to[0]), height: Math.abs(from[1] - to[1]),
    });
  }

  place(event) {
    const box = this.plot.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  move(event) {
    if (!this.points) return;
    const place = this.place(event);
    if (this.drag) {
      const { from } = this.drag;
      const isFar = Math.hypot(place[0] - from[0], place[1] - from[1]) > 5;
      if (this.drag.to || isFar) this.drag.to = place;
    }
    if (this.drag?.to) this.look(-1);
    else this.look(this.points.nearest(...place, 1.2 * rem(), this.isChosen));
  }

  press(event) {
    if (!this.points || event.button !== 0) return;
    // A finger moves the page; a mouse and a pen draw.
    if (event.pointerType !== "touch") {
      this.drag = { from: this.place(event), to: null };
      this.plot.setPointerCapture(event.pointerId);
    }
  }

  release(event) {
    const drag = this.drag;
    this.endDrag();
    if (drag?.to) {
      // Digits enough for a place on a screen.
      const ordered = (a, b) =>
        [Math.min(a, b), Math.max(a, b)].map((value) => Number(value.toPrecision(4)));
      this.onrange(
        ordered(this.x.back(drag.from[0]), this.x.back(drag.to[0])),
        ordered(this.y.back(drag.from[1]), this.y.back(drag.to[1])),
      );
      return;
    }
    const i = this.points?.nearest(...this.place(event), 1.2 * rem(), this.isChosen) ?? -1;
    // The first touch shows a neuron, the second opens it.
    const isShown = event.pointerType !== "touch" || this.touched === i;
    this.touched = i;
    if (i >= 0 && isShown) this.onopen(i);
    else this.look(i, true);
  }

  endDrag() {
    this.drag = null;
    fill(this.over);
  }

  key(event) {
    if (!this.points) return;
    const direction = DIRECTIONS[event.key];
    let next = null;
    if (direction) {
      const atLeast = event.shiftKey ? this.width / 12 : 0;
      next = this.points.toward(this.at, direction, atLeast, this.isChosen);
    } else if (event.key === "Home") next = this.points.outermost(-1, this.isChosen);
    else if (event.key === "End") next = this.points.outermost(1, this.isChosen);
    else if (event.key === "Escape") next = -1;
    else if (event.key === "Enter" && this.at >= 0) this.onopen(this.at);
    if (next === null) return;
    event.preventDefault();
    this.look(next, true);
  }
}

function domainWithin({ axis, values, range }) {
  const [low, high] = domainOf(values, limitsOf(axis.kind));
  const [from, to] = [range?.[0] ?? low, range?.[1] ?? high];
  return from < to ? [from, to] : [low, high];
}
