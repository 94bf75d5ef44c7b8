/** What the dataset lacks, reason by reason. */

import { h } from "../../dom.js";
import { count } from "../../numbers.js";
import { unbroken } from "../note.js";

// Columns that are named; of more, as many are counted.
const NAMED = 6;

/**
 * @param {import("../../data/dataset.js").Dataset} dataset
 * @returns {HTMLElement|null} a section; null where it lacks nothing
 */
export function missingList({ lackings }) {
  if (!lackings.length) return null;
  const reasons = [...new Set(lackings.map(({ why }) => why))];
  return h("section", { class: "missing", "aria-labelledby": "missing-title" },
    h("h3", { id: "missing-title" }, "Not in this dataset"),
    h("dl", {}, reasons.map((reason) => h("div", {},
      h("dt", {}, unbroken(reason.charAt(0).toUpperCase() + reason.slice(1))),
      lackings.filter(({ why }) => why === reason).map((lack) =>
        h("dd", {}, h("code", {}, lack.table), words(lack)))))));
}

function words({ columns }) {
  if (!columns) return ", the whole table";
  const named = columns.slice(0, columns.length > NAMED + 1 ? NAMED : columns.length);
  const more = columns.length - named.length;
  return `: ${named.join(", ")}${more ? ` and ${count(more)} other columns` : ""}`;
}
