/** What is shown of the survey, unless no neuron has the numbers that it is made of. */

import { columnsOf } from "../../axes.js";
import { because, whyOf } from "../../data/lackings.js";
import { fill, h } from "../../dom.js";
import { note } from "../note.js";

/**
 * @param {object} context what a page is given (app.js)
 * @param {ReturnType<import("../../data/survey.js").surveyOf>} survey
 * @param {import("../../axes.js").Axis[]} axes each of which it takes
 * @param {HTMLElement} content
 * @returns {HTMLElement} the content, or in its place why there is none
 */
export function unlessUnknown({ dataset, signal }, { run, findings }, axes, content) {
  const place = h("div", {}, content);
  const look = () => {
    const isUnknown = findings.areUnknown(axes);
    if (isUnknown === (place.firstChild !== content)) return;
    const lacking = axes.filter((axis) => findings.areUnknown([axis]));
    const names = lacking.map(({ label }) => label).join(" or ");
    const why = whyOf(dataset, lacking.flatMap(columnsOf));
    fill(place, isUnknown
      ? note(because(`No neuron has a ${names}`, why))
      : content);
  };
  run.listen(look, signal);
  look();
  return place;
}
