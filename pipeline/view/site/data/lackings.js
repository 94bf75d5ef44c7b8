/** What a dataset lacks, as its manifest says it. */

/**
 * A table that is not there (`columns` null), or columns of it that are null in some rows or all.
 *
 * @typedef {{table: string, columns: string[]|null, why: string}} Lack
 */

/**
 * @param {object} manifest
 * @returns {Lack[]}
 */
export function lackingsOf({ missing }) {
  if (!Array.isArray(missing)) return [];
  return missing.filter((lack) => lack?.table).map(({ table, columns, why }) => ({
    table: String(table),
    columns: Array.isArray(columns) ? columns.map(String) : null,
    why: String(why ?? "the dataset does not say why"),
  }));
}

/**
 * Why there is a gap in what is read of these columns: the first of the reasons.
 *
 * @param {import("./dataset.js").Dataset} dataset
 * @param {[string, string][]} columns tables with a column of each
 * @returns {string|null}
 */
export function whyOf(dataset, columns) {
  for (const [table, column] of columns) {
    const why = dataset.lacks(table, column);
    if (why) return why;
  }
  return null;
}

/**
 * A sentence with the reason, where there is one.
 *
 * @param {string} sentence without its full stop
 * @param {string|null} why
 */
export function because(sentence, why) {
  return why ? `${sentence}: ${why}.` : `${sentence}.`;
}
