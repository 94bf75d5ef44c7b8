/** The address of a page: `#/neuron/31.9634?ranking=post`. */

/**
 * What a hash says; the page is empty where it names none.
 *
 * @param {string} hash
 * @returns {{page: string, path: string, params: URLSearchParams}}
 */
export function parsed(hash) {
  const [path, query = ""] = splitOnce(hash.replace(/^#\/?/, ""), "?");
  const [page, rest = ""] = splitOnce(path, "/");
  return { page, path: decoded(rest), params: new URLSearchParams(query) };
}

/**
 * The hash of a page; parameters that are null, undefined or empty are left out.
 *
 * @param {string} path such as `neuron/31.9634`
 * @param {Record<string, any>} [params]
 */
export function hashOf(path, params = {}) {
  const query = new URLSearchParams(
    Object.entries(params)
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([key, value]) => [key, String(value)]),
  ).toString();
  return `#/${path}${query ? `?${query}` : ""}`;
}

/** A neuron's layer and index from `31.9634`, or null. @param {string} text */
export function parsedNeuron(text) {
  const match = /^\s*(\d{1,6})\s*[.:/]\s*(\d{1,9})\s*$/.exec(text ?? "");
  return match ? { layer: Number(match[1]), neuron: Number(match[2]) } : null;
}

function splitOnce(text, separator) {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
