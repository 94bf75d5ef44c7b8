/** Columns of a table of neurons, of one layer or of several. */

import { shown } from "../../axes.js";
import { h } from "../../dom.js";
import { count } from "../../numbers.js";
import { lookOf, markOf } from "../classes.js";

/** A neuron: the numbers of its layer and its place in them.
 * @typedef {{numbers: import("../../data/neurons.js").LayerNumbers, i: number}} Found
 * @typedef {import("../../axes.js").Axis} Axis */

/** `31.9634`. @param {Found} found */
export function idOf({ numbers, i }) {
  return `${numbers.layer}.${numbers.neuron[i]}`;
}

/** A neuron's number of an axis that was read. @param {Axis} axis @param {Found} found */
export function valueAt(axis, { numbers, i }) {
  return numbers.values(axis)[i];
}

/**
 * Name and class of each row's neuron.
 *
 * @param {(row: number) => Found} at
 * @param {(path: string) => string} link
 * @param {boolean} [hasClasses] whether any has one
 * @returns {import("./table.js").Column[]}
 */
export function nameColumns(at, link, hasClasses = true) {
  const named = (row) => {
    const { numbers, i } = at(row);
    return { layer: numbers.layer, neuron: numbers.neuron[i] };
  };
  const classAt = (row) => at(row).numbers.classOf(at(row).i);
  return [neuronColumn(named, link), ...(hasClasses ? [classColumn(classAt)] : [])];
}

/**
 * The neuron of each row, which leads to its page.
 *
 * @param {(row: number) => {layer: number, neuron: number}} at
 * @param {(path: string) => string} link
 * @returns {import("./table.js").Column}
 */
export function neuronColumn(at, link) {
  const id = (row) => `${at(row).layer}.${at(row).neuron}`;
  return {
    name: "neuron", title: "Neuron", isName: true,
    key: (row) => at(row).layer * 1e9 + at(row).neuron,
    cell: (row) => h("a", { href: link(`neuron/${id(row)}`) }, id(row)),
    raw: id,
  };
}

/**
 * The class, sorted from what enriches to what depletes.
 *
 * @param {(row: number) => string} classAt
 */
export function classColumn(classAt) {
  return {
    name: "io_class", title: "Class",
    key: (row) => lookOf(classAt(row)).order,
    cell: (row) => {
      const name = classAt(row);
      return h("span", { class: "class-name", title: name }, markOf(name), h("span", {}, name));
    },
    raw: classAt,
  };
}

/**
 * A number of an axis.
 *
 * @param {Axis} axis
 * @param {(row: number) => Found} at
 * @returns {import("./table.js").Column}
 */
export function axisColumn(axis, at) {
  const value = (row) => valueAt(axis, at(row));
  return {
    name: axis.name, title: axis.label, isNumber: true,
    key: value, cell: (row) => shown(axis, value(row)),
  };
}

/** A whole number. @returns {import("./table.js").Column} */
export function countColumn(name, title, value) {
  return { name, title, isNumber: true, key: value, cell: (row) => count(value(row)) };
}
