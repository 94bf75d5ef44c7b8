/** The choice of an axis, in groups. */

import { axisNamed } from "../../axes.js";
import { h } from "../../dom.js";

/**
 * @param {object} options
 * @param {string} options.id
 * @param {string} options.label
 * @param {import("../../axes.js").Axis[]} options.axes
 * @param {import("../../axes.js").Axis} options.chosen
 * @param {(axis: import("../../axes.js").Axis) => void} options.onchange
 */
export function axisSelect({ id, label, axes, chosen, onchange }) {
  const groups = [...new Set(axes.map(({ group }) => group))];
  const select = h("select", { id, onchange: () => onchange(axisNamed(select.value)) },
    groups.map((group) => h("optgroup", { label: group },
      axes.filter((axis) => axis.group === group).map((axis) =>
        h("option", { value: axis.name, selected: axis === chosen }, axis.label)))));
  return h("label", {}, `${label} `, select);
}
