/** Elements out of names, attributes and text. Text never becomes markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An HTML element: `h("a", {class: "x", href: "#/", onclick: f}, "text", node, [nodes], null)`.
 *
 * @param {string} name
 * @param {Record<string, any>} [attributes] null and false are left out, true is empty, functions
 *   become listeners
 * @param {...any} children strings and numbers become text nodes
 * @returns {HTMLElement}
 */
export function h(name, attributes, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** The same, of SVG. @returns {SVGElement} */
export function svg(name, attributes, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [key, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(key.replace(/^on/, ""), value);
    else element.setAttribute(key, value === true ? "" : String(value));
  }
  element.append(...nodes(children));
  return element;
}

function nodes(children) {
  return children
    .flat(Infinity)
    .filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/** Put these children in place of what an element holds. */
export function fill(element, ...children) {
  element.replaceChildren(...nodes(children));
}
