/** Classes of input-output functionality as they look: colour, mark and order. */

import { svg } from "../dom.js";
import { IO_CLASSES } from "../words.js";

const ATYPICAL = "atypical ";
const TYPICAL = Object.keys(IO_CLASSES).filter((name) => !name.startsWith(ATYPICAL));

/** From what enriches to what depletes, an atypical class beside its typical one. */
export const CLASS_ORDER = TYPICAL.flatMap((name) => [name, ATYPICAL + name]).filter(
  (name) => name in IO_CLASSES,
);

// Outlines in a square of side 2 around 0: told apart without colour.
const SHAPES = {
  enrichment: "M0,-1 L1,.75 L-1,.75 Z",
  "conditional enrichment": "M-.8,-.8 H.8 V.8 H-.8 Z",
  "proportional change": "M0,-1 L1,0 L0,1 L-1,0 Z",
  "orthogonal output": "M-.7,0 a.7,.7 0 1 0 1.4,0 a.7,.7 0 1 0 -1.4,0 Z",
  "conditional depletion":
    "M-.35,-1 H.35 V-.35 H1 V.35 H.35 V1 H-.35 V.35 H-1 V-.35 H-.35 Z",
  depletion: "M0,1 L1,-.75 L-1,-.75 Z",
};
const OTHER = "M-1,-.6 L-.6,-1 L0,-.4 L.6,-1 L1,-.6 L.4,0 L1,.6 L.6,1 L0,.4 L-.6,1 L-1,.6 L-.4,0 Z";

/**
 * How a class looks.
 *
 * @param {string} name any string: a dataset may name others
 * @returns {{colour: string, shape: string, isHollow: boolean, order: number}} name of a custom
 *   property, path in a square of side 2, whether only its outline is drawn, and place in the order
 */
export function lookOf(name) {
  const isHollow = name.startsWith(ATYPICAL);
  const typical = isHollow ? name.slice(ATYPICAL.length) : name;
  const place = CLASS_ORDER.indexOf(name);
  if (place < 0) {
    return { colour: "--class-other", shape: OTHER, isHollow: false, order: CLASS_ORDER.length };
  }
  return {
    colour: `--class-${typical.replaceAll(" ", "-")}`,
    shape: SHAPES[typical],
    isHollow,
    order: place,
  };
}

/** The mark of a class for a legend or a table. @param {string} name @returns {SVGElement} */
export function markOf(name) {
  const { colour, shape, isHollow } = lookOf(name);
  const path = svg("path", { d: shape, "stroke-width": isHollow ? 0.35 : 0 });
  path.style.setProperty(isHollow ? "stroke" : "fill", `var(${colour})`);
  if (isHollow) path.style.setProperty("fill", "none");
  return svg("svg", { class: "mark", viewBox: "-1.25 -1.25 2.5 2.5", "aria-hidden": "true" }, path);
}

/** A piece of the bar of a class: striped where it is atypical. @param {string} name */
export function swatchOf(name) {
  const { colour, isHollow } = lookOf(name);
  const ground = svg("rect", { x: -1, y: -1, width: 2, height: 2 });
  ground.style.setProperty("fill", `var(${colour})`);
  const lines = "M-1,0.1 L0.1,-1 M-1,1.2 L1.2,-1 M-0.1,1.2 L1.2,-0.1";
  const stripes = svg("path", { d: lines, "stroke-width": 0.35 });
  stripes.style.setProperty("stroke", "var(--ground)");
  return svg("svg", { class: "mark", viewBox: "-1 -1 2 2", "aria-hidden": "true" },
    ground, isHollow && stripes);
}

/** Names in their order, those of a dataset's own last. @param {Iterable<string>} names */
export function inOrder(names) {
  return [...names].sort(
    (a, b) => lookOf(a).order - lookOf(b).order || (a < b ? -1 : a > b ? 1 : 0),
  );
}
