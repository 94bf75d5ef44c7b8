/** Find by token: what is typed becomes token ids, and these are looked for layer by layer. */

import { ReadError } from "../../data/errors.js";
import { because } from "../../data/lackings.js";
import { TokenSearch, drawn, tokensOf } from "../../data/token_search.js";
import { fill, h } from "../../dom.js";
import { bytes, count, percent, short } from "../../numbers.js";
import { COMBOS } from "../../words.js";
import { tokenMark } from "../examples/token_mark.js";
import { comboMark } from "../marks.js";
import { note } from "../note.js";
import { readingBar } from "../reading_bar.js";
import { classColumn, countColumn, neuronColumn } from "../tables/neuron_columns.js";
import { Table } from "../tables/table.js";
import { layerSelect } from "./layer_select.js";

// Tokens that hold the text without being it, of which so many are offered.
const MOST_NEAR = 24;
// So much may be read for an address that somebody opens.
const UNASKED = 32e6;

/** The section, where the dataset has lists of tokens. @param {object} context (app.js) */
export function findToken(context) {
  const { dataset } = context;
  const tables = ["examples", "weight_tokens"].filter((table) => dataset.has(table));
  if (!tables.length || !dataset.has("vocab")) return lackNote(dataset);
  const finder = new TokenFinder(context, tables);
  if (context.params.get("token")) finder.resolve(true);
  return finder.element;
}

function lackNote(dataset) {
  const why = dataset.lacks("vocab") ?? dataset.lacks("weight_tokens");
  return why && h("section", { "aria-labelledby": "token-title" },
    h("h2", { id: "token-title" }, "By token"),
    note(because("Which tokens the lists hold is not known", why)));
}

class TokenFinder {
  constructor(context, tables) {
    const { dataset, params } = context;
    this.context = context;
    this.leaving = new AbortController();
    context.signal.addEventListener("abort", () => this.leave());
    this.input = h("input", {
      type: "text", id: "find-token", value: drawn(params.get("token") ?? ""), size: "14",
      autocomplete: "off", spellcheck: "false", required: true,
    });
    const among = tables.includes(params.get("in")) ? params.get("in") : tables[0];
    const words = { examples: "peaks of the lists", weight_tokens: "tokens of the weights" };
    this.table = h("select", { id: "find-in" }, tables.map((name) =>
      h("option", { value: name, selected: name === among }, words[name])));
    this.ranking = h("select", { id: "find-ranking" }, dataset.rankings.map((name) =>
      h("option", { value: name, selected: name === params.get("ranking") }, name)));
    this.rankingLabel = h("label", {}, "by ", this.ranking);
    this.layer =
      layerSelect(dataset, params.get("token") ? params.get("layer") : null, "token-layer");
    this.offers = h("div", { class: "offers" });
    this.results = h("div", { id: "token-results" });
    const changed = () => {
      this.rankingLabel.hidden = this.table.value !== "examples";
      this.results.replaceChildren();
      if (this.offers.childElementCount) this.resolve(false);
    };
    for (const select of [this.table, this.ranking, this.layer]) {
      select.addEventListener("change", changed);
    }
    this.rankingLabel.hidden = among !== "examples";
    const submit = (event) => {
      event.preventDefault();
      this.resolve(false);
    };
    const whyNoPeak = dataset.lacks("examples", "peak_token");
    this.element = h("section", { "aria-labelledby": "token-title" },
      h("h2", { id: "token-title" }, "By token"),
      h("p", { class: "note" },
        "Neurons with lists that have their peak at a token, or whose weights are closest to it. ",
        "A newline is written ↵ or \\n, a tab ⇥ or \\t."),
      whyNoPeak && note(because("Not every entry of a list has its token", whyNoPeak)),
      h("form", { class: "controls", onsubmit: submit },
        h("label", {}, "Token ", this.input), h("label", {}, "among the ", this.table),
        this.rankingLabel, h("label", {}, "in ", this.layer),
        h("button", { type: "submit" }, "Look up")),
      this.offers, this.results);
  }

  leave() {
    this.leaving.abort();
    this.search?.run.leave();
  }

  /** Ids for the text that is typed; they are offered. @param {boolean} isOpened by an address */
  async resolve(isOpened) {
    const { context } = this;
    const text = this.input.value;
    if (!text) return;
    this.results.replaceChildren();
    fill(this.offers, h("p", { class: "loading" }, "Reading the vocabulary …"));
    try {
      this.vocab = await context.dataset.vocab();
    } catch (error) {
      if (!(error instanceof ReadError)) throw error;
      fill(this.offers, h("p", { class: "problem", role: "alert" }, error.message));
      return;
    }
    if (context.signal.aborted) return;
    const { exact, near, nNear } = tokensOf(this.vocab, text, MOST_NEAR);
    const named = isOpened && context.params.get("ids")?.split(",").map(Number);
    const chosen = new Set(named || exact);
    const shown =
      [...new Set([...exact, ...chosen])].filter((id) => id >= 0 && id < this.vocab.size);
    this.start = h("div", { class: "controls" });
    const offer = (id) => {
      const box = h("input", {
        type: "checkbox", checked: chosen.has(id),
        onchange: () => {
          if (box.checked) chosen.add(id);
          else chosen.delete(id);
          this.prepare(chosen, exact, false);
        },
      });
      return h("label", { class: "offer" },
        box, tokenMark(id, this.vocab), h("span", { class: "note" }, `id ${id}`));
    };
    const these = shown.length === 1 ? "This token" : `These ${count(shown.length)} tokens`;
    fill(this.offers,
      shown.length
        ? h("fieldset", {}, h("legend", {}, these), shown.map(offer))
        : h("p", { role: "status" }, "No token is this text, with or without spaces around it."),
      nNear > 0 && h("details", { open: !shown.length },
        h("summary", {}, `${count(nNear)} other ${nNear === 1 ? "token holds" : "tokens hold"} it`),
        h("fieldset", {},
          h("legend", {}, nNear > near.length ? `The first ${count(near.length)}` : "Other tokens"),
          near.filter((id) => !shown.includes(id)).map(offer))),
      this.start);
    await this.prepare(chosen, exact, isOpened);
  }

  /** Says how much a search would read, and lets it begin. */
  async prepare(chosen, exact, isOpened) {
    const { context } = this;
    this.leave();
    this.leaving = new AbortController();
    this.results.replaceChildren();
    this.start.replaceChildren();
    const ids = [...chosen].sort((a, b) => a - b);
    if (!ids.length) return;
    const layers = this.layer.value === "" ? context.dataset.layers : [Number(this.layer.value)];
    const search = new TokenSearch({
      dataset: context.dataset, table: this.table.value, layers, ids, ranking: this.ranking.value,
    });
    this.search = search;
    let expected;
    try {
      expected = await search.expected();
    } catch (error) {
      if (!(error instanceof ReadError)) throw error;
      fill(this.start, h("p", { class: "problem", role: "alert" }, error.message));
      return;
    }
    if (this.search !== search || context.signal.aborted) return;
    const go = () => {
      const isExact = ids.join() === exact.join();
      context.keep({
        token: this.input.value, ids: isExact ? null : ids.join(","),
        in: this.table.value === "examples" ? null : this.table.value,
        ranking: this.table.value === "examples" ? this.ranking.value : null,
        layer: this.layer.value,
      });
      this.start.replaceChildren();
      this.show(search);
      search.run.start();
    };
    const { least, most } = expected;
    if (!search.run.layers.length) {
      fill(this.start, h("p", { class: "note" }, "There are no such lists here."));
    } else if (isOpened && least < UNASKED) go();
    else {
      const more = most > least * 1.2 ? `, up to ${bytes(most)} for a frequent token` : "";
      const about = `about ${bytes(least)}${more}`;
      fill(this.start, h("button", { type: "button", onclick: go }, "Search"),
        h("span", { class: "note" }, `reads ${about}`));
    }
  }

  show(search) {
    const { signal } = this.leaving;
    const at = (row) => search.hits[row];
    const table = new Table({
      label: "Neurons by token", file: "neurons_by_token.csv",
      empty: "None in the layers that are read.",
      columns: search.table === "examples" ? this.peakColumns(at) : this.weightColumns(at),
    });
    const paint = () => table.show([...search.hits.keys()], true);
    search.run.listen(paint, signal);
    paint();
    fill(this.results, readingBar({ run: search.run, start: "Search", signal }), table.element);
  }

  named(at, params) {
    return [
      neuronColumn(at, (path) => this.context.link(path, params)),
      {
        name: "token", title: "Token", key: (row) => at(row).token,
        raw: (row) => this.vocab.text(at(row).token),
        cell: (row) => tokenMark(at(row).token, this.vocab),
      },
    ];
  }

  peakColumns(at) {
    return [
      ...this.named(at, { ranking: this.ranking.value }),
      {
        name: "combo", title: "Combination", key: (row) => COMBOS.indexOf(at(row).combo),
        cell: (row) => comboMark(at(row).combo), raw: (row) => at(row).combo,
      },
      countColumn("n_examples", "entries", (row) => at(row).nExamples),
      {
        name: "share", title: "share of its list", isNumber: true,
        key: (row) => at(row).share, cell: (row) => percent(at(row).share),
      },
      {
        name: "best_score", title: this.ranking.value === "random" ? "best score"
          : `best |${this.ranking.value}|`, isNumber: true,
        key: (row) => at(row).score, cell: (row) => short(at(row).score),
      },
      countColumn("best_rank", "best rank", (row) => at(row).rank),
      countColumn("n_duplicates", "duplicates", (row) => at(row).nDuplicates),
      classColumn((row) => at(row).ioClass),
    ];
  }

  weightColumns(at) {
    const word = (name, title, words, shown = (one) => one) => ({
      name, title, key: (row) => words.indexOf(at(row)[name]),
      cell: (row) => shown(at(row)[name]), raw: (row) => at(row)[name],
    });
    return [
      ...this.named(at, {}),
      word("weight", "Weight", ["gate", "in", "out"], (name) => `w_${name}`),
      word("matrix", "Compared with", ["embedding", "unembedding"]),
      word("side", "Side", ["highest", "lowest"]),
      countColumn("rank", "rank", (row) => at(row).rank),
      {
        name: "score", title: "dot product", isNumber: true,
        key: (row) => at(row).score, cell: (row) => short(at(row).score),
      },
      classColumn((row) => at(row).ioClass),
    ];
  }
}
