/** Lists of examples under one choice of ranking and colour, which stands in the address. */

import { h } from "../../dom.js";
import { ALL_RANKINGS, QUANTITIES } from "../../words.js";
import { note } from "../note.js";
import { colourChoice, rankingTabs } from "./list_choices.js";
import { KEYS_HELP } from "./token_text.js";

/**
 * Shows the lists, and what is chosen of them above.
 *
 * @param {object} context what a page is given (app.js)
 * @param {object} options
 * @param {ReturnType<typeof import("./example_list.js").sideOf>[]} options.sides of the neurons
 *   whose lists they are; one of them at least has examples
 * @param {import("./example_list.js").ExampleList[]} options.lists
 * @param {HTMLElement} options.panel that holds the lists
 * @param {import("./readout.js").Readout} options.readout of the page
 * @returns {(Node|null)[]}
 */
export function chosenLists({ params, keep }, { sides, lists, panel, readout }) {
  const rankings =
    ALL_RANKINGS.filter((name) => sides.some((side) => side.rankings.includes(name)));
  const windowed = sides.filter((side) => side.quantities.length);
  const quantities = windowed.length ? QUANTITIES.filter((name) =>
    windowed.every((side) => side.quantities.includes(name))) : [];
  const asked = (name, known) => known.find((one) => one === params.get(name));
  let ranking = asked("ranking", rankings) ?? rankings[0];
  let quantity = asked("colour", quantities) ?? quantities.at(-1);
  const show = () => {
    panel.setAttribute("aria-labelledby", `ranking-${ranking}`);
    readout.hide();
    for (const list of lists) list.show(ranking, quantity);
  };
  panel.setAttribute("id", "lists");
  panel.setAttribute("role", "tabpanel");
  show();
  return [
    h("div", { class: "choices" },
      rankingTabs({ rankings, ranking, panel: "lists", onchange: (name) => {
        ranking = name;
        keep({ ranking });
        show();
      } }),
      quantities.length > 0 && colourChoice({ quantities, quantity, onchange: (name) => {
        quantity = name;
        keep({ colour: quantity });
        for (const list of lists) list.colour(quantity);
      } })),
    [...new Set(sides.flatMap(({ notes }) => notes))].map((said) => note(said)),
    quantities.length > 0 && note("The frame marks the peak. ", KEYS_HELP),
    panel,
  ];
}
