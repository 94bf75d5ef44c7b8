/** A table of many rows: sorted by its headers, page by page, saved as CSV. */

import { fill, h } from "../../dom.js";
import { count } from "../../numbers.js";
import { order } from "../../statistics.js";
import { wide } from "./wide.js";

/**
 * A column. `key` is what rows are sorted by, NaN for none; `cell` what a person reads, `raw` what
 * is saved, both of `key` by default; `isNumber` puts it to the right; `isName` makes it the row's
 * header; a column with `isUnsorted` has no button.
 *
 * @typedef {{name: string, title: string, key?: (i: number) => number, cell?: (i: number) => any,
 *   raw?: (i: number) => any, isNumber?: boolean, isName?: boolean, isUnsorted?: boolean}} Column
 */

export class Table {
  /**
   * @param {object} options
   * @param {string} options.label the table's name
   * @param {Column[]} options.columns
   * @param {number} [options.pageSize]
   * @param {string} [options.sort] name of a column, with `-` before it from high to low
   * @param {(sort: string) => void} [options.onsort]
   * @param {(i: number) => void} [options.onlook] a row is pointed at; -1 where none is
   * @param {string} [options.empty] what is said where there is no row
   * @param {string} [options.file] name of the file that is saved
   */
  constructor({ label, columns, pageSize = 25, sort = "", onsort, onlook, empty = "None.", file }) {
    Object.assign(this, { label, pageSize, sort, onsort, onlook, empty, file });
    this.page = 0;
    /** Rows that are shown, before and after sorting. */
    this.rows = [];
    this.sorted = [];
    /** @type {Map<number, HTMLElement>} */
    this.shown = new Map();
    this.head = h("tr");
    this.body = h("tbody");
    this.pages = h("div", { class: "pages controls" });
    this.element = h("div", { class: "table-of-many" },
      wide(label, h("table", { "aria-label": label, onpointerleave: () => onlook?.(-1) },
        h("thead", {}, this.head), this.body)),
      this.pages);
    this.setColumns(columns);
  }

  /** Other columns; the rows stay. @param {Column[]} columns */
  setColumns(columns) {
    this.columns = columns;
    if (!columns.some(({ name }) => name === this.sort.replace(/^-/, ""))) this.sort = "";
    this.show(this.rows);
  }

  /**
   * Show rows, named by numbers.
   *
   * @param {ArrayLike<number>} rows in the order without sorting
   * @param {boolean} [stays] on the page that is shown: there are only more rows now
   */
  show(rows, stays = false) {
    this.rows = rows;
    const last = Math.max(0, Math.ceil(rows.length / this.pageSize) - 1);
    this.page = stays ? Math.min(this.page, last) : 0;
    this.order();
  }

  order() {
    const column = this.columns.find(({ name }) => name === this.sort.replace(/^-/, ""));
    if (column) {
      const keys = new Float64Array(this.rows.length);
      this.rows.forEach((i, place) => {
        keys[place] = column.key(i);
      });
      const places = order(keys, this.sort.startsWith("-"));
      this.sorted = Uint32Array.from(places, (place) => this.rows[place]);
    } else {
      this.sorted = this.rows;
    }
    this.paintHead();
    this.paintPage();
  }

  /** Mark a row, where it is on the page that is shown. @param {number} i -1: none */
  mark(i) {
    this.body.querySelector(".marked")?.classList.remove("marked");
    this.shown.get(i)?.classList.add("marked");
  }

  paintHead() {
    const focused = this.head.contains(document.activeElement)
      ? document.activeElement.closest("th").dataset.name
      : null;
    fill(this.head, this.columns.map((column) => {
      const isDown = this.sort === `-${column.name}`;
      const isUp = this.sort === column.name;
      const sign =
        h("span", { class: "sort", "aria-hidden": "true" }, isDown ? "▼" : isUp ? "▲" : "↕");
      return h("th", {
        scope: "col", class: column.isNumber ? "number" : column.isName ? "name" : null,
        "data-name": column.name,
        "aria-sort": isDown ? "descending" : isUp ? "ascending" : null,
      }, column.isUnsorted ? column.title
        : h("button", { type: "button", onclick: () => this.sortBy(column) }, column.title, sign));
    }));
    if (focused) this.head.querySelector(`[data-name="${CSS.escape(focused)}"] button`)?.focus();
  }

  // Numbers are of interest from their high end, names from their low one.
  sortBy({ name, isNumber }) {
    const ways = isNumber ? [`-${name}`, name] : [name, `-${name}`];
    this.sort = this.sort === ways[0] ? ways[1] : ways[0];
    this.page = 0;
    this.order();
    this.onsort?.(this.sort);
  }

  paintPage() {
    const from = this.page * this.pageSize;
    const to = Math.min(from + this.pageSize, this.sorted.length);
    const focused = this.body.contains(document.activeElement) ? document.activeElement.href : null;
    this.shown.clear();
    const rows = [];
    for (let place = from; place < to; place += 1) {
      const i = this.sorted[place];
      const look = this.onlook && (() => this.onlook(i));
      const row = h("tr", { onpointerenter: look, onfocusin: look },
        this.columns.map((column) => this.cell(column, i)));
      this.shown.set(i, row);
      rows.push(row);
    }
    const none = h("tr", {}, h("td", { colspan: this.columns.length, class: "note" }, this.empty));
    fill(this.body, rows.length ? rows : none);
    if (focused) this.body.querySelector(`a[href="${CSS.escape(new URL(focused).hash)}"]`)?.focus();
    this.paintPages(from, to);
  }

  cell(column, i) {
    const content = column.cell ? column.cell(i) : column.key(i);
    const attributes = { class: column.isNumber ? "number" : null };
    if (column.isName) return h("th", { scope: "row", class: "name" }, content);
    const exact = column.isNumber ? column.key(i) : NaN;
    return h("td", { ...attributes, title: Number.isNaN(exact) ? null : String(exact) }, content);
  }

  paintPages(from, to) {
    const last = Math.ceil(this.sorted.length / this.pageSize) - 1;
    const isFocused = this.pages.contains(document.activeElement);
    const had = isFocused ? document.activeElement.textContent : null;
    const turn = (text, page, label) =>
      h("button", {
        type: "button", disabled: page < 0 || page > last || page === this.page,
        "aria-label": label,
        onclick: () => {
          this.page = page;
          this.paintPage();
        },
      }, text);
    fill(this.pages,
      last > 0 && [
        turn("⏮", 0, "First page"), turn("◀", this.page - 1, "Previous page"),
        turn("▶", this.page + 1, "Next page"), turn("⏭", last, "Last page")],
      h("span", { class: "note", role: "status" },
        this.sorted.length
          ? `${count(from + 1)}–${count(to)} of ${count(this.sorted.length)}`
          : ""),
      this.file && this.sorted.length > 0 &&
        h("button", { type: "button", onclick: () => this.save() }, "Save as CSV"));
    const buttons = [...this.pages.querySelectorAll("button")];
    const button = buttons.find(({ textContent }) => textContent === had);
    if (button?.disabled) this.pages.querySelector("button:not(:disabled)")?.focus();
    else button?.focus();
  }

  /** Every row as it is sorted, with all digits. */
  save() {
    const quoted = (value) => {
      if (value === null || value === undefined || Number.isNaN(value)) return "";
      const text = String(value);
      return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    };
    const lines = [this.columns.map(({ name }) => quoted(name))];
    for (const i of this.sorted) {
      lines.push(this.columns.map((column) => quoted(column.raw ? column.raw(i) : column.key(i))));
    }
    const text = lines.map((line) => `${line.join(",")}\r\n`).join("");
    const blob = new Blob([text], { type: "text/csv" });
    const url = URL.createObjectURL(blob);
    h("a", { href: url, download: this.file }).click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }
}
