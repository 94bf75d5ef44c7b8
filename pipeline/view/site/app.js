/** The shell: finds the datasets, shows the page that the address names, says what goes wrong. */

import { ReadError } from "./data/errors.js";
import { Places, findPlaces } from "./data/places.js";
import { enter, settle } from "./depths.js";
import { fill, h } from "./dom.js";
import { renderFooter, renderHeader } from "./parts/frame.js";
import { hashOf, parsed } from "./router.js";

/** Loaded when they are first shown. */
const PAGES = {
  datasets: () => import("./pages/datasets.js"),
  model: () => import("./pages/model.js"),
  layer: () => import("./pages/layer.js"),
  neuron: () => import("./pages/neuron.js"),
  find: () => import("./pages/find.js"),
  compare: () => import("./pages/compare.js"),
  text: () => import("./pages/text.js"),
};

const main = document.getElementById("main");
let places = null;
let leaving = new AbortController();
// The page that is shown, where there is one.
let shown = null;

async function show() {
  leaving.abort();
  leaving = new AbortController();
  const { signal } = leaving;
  const where = parsed(location.hash);
  // Where it was left, or where the neuron before it stood.
  const depth = enter() ?? (where.page === "neuron" && shown === "neuron" ? scrollY : 0);
  main.setAttribute("aria-busy", "true");
  const waiting = setTimeout(() => {
    if (!signal.aborted) fill(main, h("p", { class: "loading", role: "status" }, "Reading …"));
  }, 400);
  const page = h("div");
  let dataset = null;
  try {
    places ??= new Places(await findPlaces());
    const name = where.params.get("data") ?? undefined;
    where.page ||= places.names.length > 1 && !name ? "datasets" : "model";
    page.className = `page page-${where.page}`;
    if (where.page !== "datasets") dataset = await places.open(name);
    const module = await pageNamed(where.page);
    if (signal.aborted) return;
    const context = makeContext(where, dataset, page, signal);
    renderHeader(document.getElementById("header"), context);
    document.title = `${module.title(context)} · Gatescope`;
    await module.render(context);
    if (signal.aborted) return;
    clearTimeout(waiting);
    fill(main, page);
    renderFooter(document.getElementById("footer"), context);
  } catch (error) {
    if (signal.aborted) return;
    clearTimeout(waiting);
    if (!(error instanceof ReadError)) console.error(error);
    document.title = "Gatescope";
    // Without what leads to a dataset that cannot be opened.
    if (places) {
      renderHeader(document.getElementById("header"), makeContext(where, dataset, page, signal));
    }
    fill(main, failure(error));
  }
  main.removeAttribute("aria-busy");
  // The first page keeps the focus where the browser puts it.
  if (shown) (main.querySelector("h1") ?? main).focus({ preventScroll: true });
  shown = where.page;
  settle(depth, signal);
}

async function pageNamed(page) {
  if (!Object.hasOwn(PAGES, page)) throw new ReadError(`There is no page "${page}"`);
  try {
    return await PAGES[page]();
  } catch (error) {
    // What a browser says of a script that does not come.
    if (!(error instanceof TypeError)) throw error;
    throw new ReadError(
      `A part of this site cannot be loaded (${error.message}); see that its server still runs, ` +
        "and load the page again",
    );
  }
}

/**
 * What a page is given.
 *
 * `link(path, params)` is the address of a page of this dataset, or of that named `params.data`;
 * `keep(params)` puts parameters into this page's address without showing it anew, and does nothing
 * once the address is another page's; `open(name)` opens another dataset; `signal` is aborted when
 * the person goes elsewhere.
 */
function makeContext({ page, path, params }, dataset, element, signal) {
  const several = places.names.length > 1;
  const link = (to, more = {}) =>
    hashOf(to, { data: several ? (dataset?.name ?? null) : null, ...more });
  const keep = (changes) => {
    // A page is still there while the next one is read.
    if (signal.aborted) return;
    for (const [key, value] of Object.entries(changes)) {
      if (value === null || value === undefined || value === "") params.delete(key);
      else params.set(key, String(value));
    }
    const to = path ? `${page}/${encodeURIComponent(path)}` : page;
    history.replaceState(history.state, "", hashOf(to, Object.fromEntries(params)));
  };
  return {
    dataset, page, path, params, link, keep, signal,
    main: element,
    datasets: places.names,
    open: (name) => places.open(name),
  };
}

function failure(error) {
  const message =
    error instanceof ReadError ? error.message : `This page failed: ${error?.message ?? error}`;
  return h("div", { class: "failure", role: "alert" },
    h("h1", { tabindex: "-1" }, "This cannot be shown"),
    h("p", {}, message),
    h("p", {},
      h("button", { type: "button", onclick: show }, "Try again"),
      " ",
      places?.names.length > 1
        ? h("a", { href: "#/datasets" }, "All datasets")
        : h("a", { href: "#/model" }, "The model's page")),
  );
}

addEventListener("hashchange", show);
show();
