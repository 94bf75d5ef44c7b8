/** What a person chooses of the lists: their ranking, as tabs, and what colours them. */

import { h } from "../../dom.js";

const RANKED = {
  post: "largest |post|", in: "largest |in|", gate: "largest |gate|", random: "at random",
  act: "largest |act|",
};

/**
 * Tabs over one panel.
 *
 * @param {{rankings: string[], ranking: string, panel: string,
 *   onchange: (ranking: string) => void}} options `panel` is the id of what the tabs fill
 */
export function rankingTabs({ rankings, ranking, panel, onchange }) {
  const tabs = rankings.map((name) =>
    h("button", {
      type: "button", role: "tab", id: `ranking-${name}`, "aria-controls": panel,
      onclick: () => choose(name),
    }, RANKED[name]));
  const mark = (chosen) => {
    tabs.forEach((tab, i) => {
      tab.setAttribute("aria-selected", String(rankings[i] === chosen));
      tab.setAttribute("tabindex", rankings[i] === chosen ? "0" : "-1");
    });
  };
  const choose = (name) => {
    mark(name);
    onchange(name);
  };
  mark(ranking);
  const key = (event) => {
    const here = tabs.indexOf(event.target);
    const last = tabs.length - 1;
    const to = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: last }[event.key];
    if (to === undefined || here < 0) return;
    event.preventDefault();
    const next = (to + tabs.length) % tabs.length;
    tabs[next].focus();
    choose(rankings[next]);
  };
  const attributes = { role: "tablist", class: "tabs", "aria-label": "Ranking" };
  return h("div", { ...attributes, onkeydown: key }, tabs);
}

/**
 * The quantity that colours the tokens, as radio buttons.
 *
 * @param {{quantities: string[], quantity: string, onchange: (quantity: string) => void}} options
 */
export function colourChoice({ quantities, quantity, onchange }) {
  return h("fieldset", { class: "colour-choice" },
    h("legend", {}, "Colour"),
    quantities.map((name) =>
      h("label", {},
        h("input", {
          type: "radio", name: "colour", value: name, checked: name === quantity,
          onchange: () => onchange(name),
        }),
        h("span", {}, name))));
}
