/** Many points on a canvas: drawn by class, and found again by place and by direction. */

import { lookOf } from "../classes.js";
import { colourOf } from "./screen.js";
import { Stamp, StampedImage } from "./stamps.js";

// Side of a cell of the grid in which points are looked up, in CSS pixels.
const CELL = 16;

/** Points in a drawing of `width` by `height` CSS pixels. */
export class Points {
  /**
   * @param {object} options
   * @param {Float64Array} options.x
   * @param {Float64Array} options.y points without a finite x and y have no place
   * @param {import("./scales.js").Scale} options.xScale
   * @param {import("./scales.js").Scale} options.yScale
   * @param {number} options.width
   * @param {number} options.height
   */
  constructor({ x, y, xScale, yScale, width, height }) {
    const n = x.length;
    this.n = n;
    this.width = width;
    this.height = height;
    this.nColumns = Math.ceil(width / CELL) + 1;
    this.nRows = Math.ceil(height / CELL) + 1;
    this.x = new Float32Array(n);
    this.y = new Float32Array(n);
    const cells = new Int32Array(n);
    // Where each cell begins in `byCell`: counted, then filled.
    this.starts = new Uint32Array(this.nColumns * this.nRows + 1);
    for (let i = 0; i < n; i += 1) {
      const isInside =
        x[i] >= xScale.low && x[i] <= xScale.high && y[i] >= yScale.low && y[i] <= yScale.high;
      this.x[i] = isInside ? xScale.at(x[i]) : NaN;
      this.y[i] = isInside ? yScale.at(y[i]) : NaN;
      cells[i] = isInside ? this.cellOf(this.x[i], this.y[i]) : -1;
      if (isInside) this.starts[cells[i] + 1] += 1;
    }
    for (let cell = 0; cell < this.starts.length - 1; cell += 1) {
      this.starts[cell + 1] += this.starts[cell];
    }
    const next = this.starts.slice();
    this.byCell = new Uint32Array(this.starts.at(-1));
    for (let i = 0; i < n; i += 1) {
      if (cells[i] < 0) continue;
      this.byCell[next[cells[i]]] = i;
      next[cells[i]] += 1;
    }
  }

  cellOf(x, y) {
    return Math.floor(y / CELL) * this.nColumns + Math.floor(x / CELL);
  }

  /**
   * Draw them all: first those that are not chosen, faintly, then class by class.
   *
   * @param {HTMLCanvasElement} canvas of this size times the ratio of the device's pixels
   * @param {object} look
   * @param {Uint16Array} look.classes class of each point
   * @param {string[]} look.classNames
   * @param {Uint8Array|null} look.isChosen null: all are
   * @param {number} look.radius of a mark in CSS pixels
   */
  draw(canvas, { classes, classNames, isChosen, radius }) {
    const ratio = canvas.width / this.width;
    const image = new StampedImage(canvas.width, canvas.height);
    let nChosen = this.n;
    if (isChosen) {
      const faint = new Stamp({
        shape: "M-1,-1 H1 V1 H-1 Z", isHollow: false, radius: Math.max(0.5, ratio * radius * 0.25),
        colour: colourOf("--point-faint"), opacity: 1,
      });
      nChosen = 0;
      for (let i = 0; i < this.n; i += 1) {
        if (isChosen[i]) nChosen += 1;
        else if (this.x[i] >= 0) image.put(faint, this.x[i] * ratio, this.y[i] * ratio);
      }
    }
    const nOfClass = new Uint32Array(classNames.length);
    for (let i = 0; i < this.n; i += 1) if (!isChosen || isChosen[i]) nOfClass[classes[i]] += 1;
    const size = ratio * (nChosen > 4000 ? radius * 0.8 : radius);
    for (const code of drawOrder(classNames)) {
      const look = lookOf(classNames[code]);
      // Where there are many, those below shine through.
      const n = nOfClass[code];
      const opacity = n > 20000 ? 0.5 : n > 4000 ? 0.65 : n > 800 ? 0.8 : 0.95;
      const stamp = new Stamp({ ...look, colour: colourOf(look.colour), radius: size, opacity });
      for (let i = 0; i < this.n; i += 1) {
        if (classes[i] !== code || !(this.x[i] >= 0) || (isChosen && !isChosen[i])) continue;
        image.put(stamp, this.x[i] * ratio, this.y[i] * ratio);
      }
    }
    image.drawOn(canvas.getContext("2d"));
  }

  /**
   * The chosen point nearest to a place.
   *
   * @param {number} x
   * @param {number} y
   * @param {number} within not farther than this
   * @param {Uint8Array|null} isChosen
   * @returns {number} -1 where there is none
   */
  nearest(x, y, within, isChosen) {
    let best = -1;
    let least = within * within;
    const reach = Math.ceil(within / CELL);
    const [column, row] = [Math.floor(x / CELL), Math.floor(y / CELL)];
    const [lastRow, lastColumn] = [this.nRows - 1, this.nColumns - 1];
    for (let r = Math.max(0, row - reach); r <= Math.min(lastRow, row + reach); r += 1) {
      for (let c = Math.max(0, column - reach); c <= Math.min(lastColumn, column + reach); c += 1) {
        const cell = r * this.nColumns + c;
        for (let place = this.starts[cell]; place < this.starts[cell + 1]; place += 1) {
          const i = this.byCell[place];
          if (isChosen && !isChosen[i]) continue;
          const distance = (this.x[i] - x) ** 2 + (this.y[i] - y) ** 2;
          if (distance <= least) {
            least = distance;
            best = i;
          }
        }
      }
    }
    return best;
  }

  /**
   * The chosen point that lies next in a direction, within 45 degrees of it.
   *
   * @param {number} from a point; -1 is the middle of the drawing
   * @param {[number, number]} direction such as [1, 0], to the right
   * @param {number} atLeast so far away in that direction
   * @param {Uint8Array|null} isChosen
   * @returns {number} `from` where there is none
   */
  toward(from, [dx, dy], atLeast, isChosen) {
    const x = from < 0 ? this.width / 2 : this.x[from];
    const y = from < 0 ? this.height / 2 : this.y[from];
    let best = from;
    let least = Infinity;
    for (let i = 0; i < this.n; i += 1) {
      if (i === from || (isChosen && !isChosen[i])) continue;
      const along = (this.x[i] - x) * dx + (this.y[i] - y) * dy;
      const across = Math.abs((this.x[i] - x) * dy + (this.y[i] - y) * dx);
      if (!(along > 0 && along >= atLeast && across <= along)) continue;
      const distance = along + 2 * across;
      if (distance < least) {
        least = distance;
        best = i;
      }
    }
    return best;
  }

  /** The chosen point farthest to one side. @param {number} sign 1 right, -1 left */
  outermost(sign, isChosen) {
    let best = -1;
    for (let i = 0; i < this.n; i += 1) {
      if (!(this.x[i] >= 0) || (isChosen && !isChosen[i])) continue;
      if (best < 0 || (this.x[i] - this.x[best]) * sign > 0) best = i;
    }
    return best;
  }
}

/** Orthogonal output, of which there is most, below all others. */
function drawOrder(classNames) {
  const first = (code) =>
    (classNames[code] === "orthogonal output" ? -1 : lookOf(classNames[code]).order);
  return [...classNames.keys()].sort((a, b) => first(a) - first(b));
}
