/** A neuron as JSON, with every number as the tables have it. */

// Columns that are float32 in the tables: nine digits tell all of them apart.
const FLOAT32 = new Set(["score", "gate_value", "in_value", "post_value", "gate", "in"]);

/**
 * A neuron as JSON text.
 *
 * JSON has no NaN and no infinities: they are the strings "NaN", "Infinity" and "-Infinity".
 *
 * @param {{dataset: string, model: object, neuron: object, sign_stats: object[],
 *   examples: object[], weight_tokens: object[]}} record rows as they were read
 */
export function neuronJson(record) {
  const { examples, weight_tokens: tokens, ...others } = record;
  return JSON.stringify({
    ...plain(others),
    examples: examples.map(rounded),
    weight_tokens: tokens.map(rounded),
  }, null, 1);
}

function rounded(row) {
  return Object.fromEntries(Object.entries(row).map(([name, value]) => {
    if (!FLOAT32.has(name)) return [name, plain(value)];
    return [name, Array.isArray(value) ? value.map(float32) : float32(value)];
  }));
}

function float32(value) {
  return Number.isFinite(value) ? Number(value.toPrecision(9)) : plain(value);
}

function plain(value) {
  if (typeof value === "number") return Number.isFinite(value) ? value : String(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
}
