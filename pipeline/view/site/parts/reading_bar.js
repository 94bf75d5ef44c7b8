/** How far a reading of many layers is: to stop it, and to let it go on. */

import { fill, h } from "../dom.js";
import { bytes, count } from "../numbers.js";

/**
 * @param {object} options
 * @param {import("../data/layer_run.js").LayerRun} options.run
 * @param {string} options.start what its button says before it began
 * @param {AbortSignal} options.signal
 * @returns {HTMLElement}
 */
export function readingBar({ run, start, signal }) {
  const total = run.layers.length;
  const progress = h("progress", { max: total, "aria-label": "Layers read" });
  const words = h("span");
  const press = () => (run.state === "running" ? run.stop() : run.start());
  const button = h("button", { type: "button", onclick: press });
  const problems = h("div");
  const status = h("p", { class: "unseen", role: "status" });
  let last = "";
  const paint = () => {
    const { state } = run;
    progress.value = run.next + run.share;
    progress.hidden = state === "ready" || state === "done";
    button.hidden = state === "done";
    const left = run.bytesLeft();
    const more = left === null ? "" : `, about ${bytes(left)} more`;
    const goOn = `Go on${more}`;
    fill(button, { ready: start, running: "Stop", paused: goOn, stopped: goOn }[state]);
    const of = total === 1 ? "layer" : "layers";
    const so = `${count(run.done.length)} of ${count(total)} ${of}, ${bytes(run.bytes)}`;
    fill(words, {
      ready: "",
      running: `Reading: ${so}`,
      paused: `Paused, so as not to read on unasked: ${so}`,
      stopped: `Stopped: ${so}`,
      done: `Read: ${so}`,
    }[state]);
    // Said once for each state, not for each layer.
    if (state !== last) fill(status, words.textContent);
    last = state;
    fill(problems, run.problems.length > 0 && h("ul", { class: "problems" },
      run.problems.map(({ layer, message }) =>
        h("li", { class: "problem" }, `Layer ${layer}: ${message}`))));
  };
  run.listen(paint, signal);
  paint();
  return h("div", { class: "reading" },
    h("div", { class: "controls" }, progress, words, button), status, problems);
}
