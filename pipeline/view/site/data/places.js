/** Which datasets this site shows. */

import { openDataset } from "./dataset.js";
import { ReadError } from "./errors.js";
import { fetched } from "./ranges.js";

// The revision may have slashes, as they are or encoded: refs/pr/1, refs%2Fpr%2F1.
const HUB = /^hf:\/\/datasets\/([\w.-]+\/[\w.-]+?)(?:@([\w.%/-]+?))?\/?$/;
// An address of files on the Hub, or on another host that is one.
const RESOLVED = /\/datasets\/(?:[^/]+\/)?([^/]+)\/resolve\/([^/]+)\/$/;

/**
 * The datasets of this page: those of `?data=URL` (several may be given), those that datasets.json
 * beside index.html names, or the one in whose folder the site lies.
 *
 * @returns {Promise<{name: string, url: string, live: boolean}[]>}
 * @throws {ReadError} where there are none
 */
export async function findPlaces() {
  const asked = new URLSearchParams(location.search).getAll("data").filter((url) => url.trim());
  if (asked.length) return named(asked.map((url) => ({ url: address(url), live: false })));
  const response = await fetched(new URL("datasets.json", document.baseURI));
  if (response.ok) return named(await listed(response));
  for (const folder of ["./", "../"]) {
    const url = new URL(folder, document.baseURI);
    const there = await fetched(new URL("manifest.json", url), { method: "HEAD" });
    if (there.ok) return named([{ url: url.href, live: false }]);
  }
  throw new ReadError(
    "There is no dataset here: add ?data=URL to this page's address, with the address of a " +
      "folder that `gatescope run` has written, or run `gatescope serve DATASET`",
  );
}

/** Opens each dataset once. */
export class Places {
  constructor(places) {
    this.places = places;
    this.opened = new Map();
  }

  /** @returns {string[]} */
  get names() {
    return this.places.map((place) => place.name);
  }

  /**
   * @param {string} [name] the first by default
   * @returns {Promise<import("./dataset.js").Dataset>}
   */
  open(name = this.names[0]) {
    const place = this.places.find((one) => one.name === name);
    if (!place) {
      throw new ReadError(`There is no dataset ${name} here; there is ${this.names.join(", ")}`);
    }
    if (!this.opened.has(name)) {
      const opening = openDataset(place.url, name, place.live);
      opening.catch(() => this.opened.delete(name));
      this.opened.set(name, opening);
    }
    return this.opened.get(name);
  }
}

async function listed(response) {
  const refused = (why) =>
    new ReadError(
      `datasets.json beside this page ${why}; make it again with gatescope serve --export`,
    );
  let places;
  try {
    places = await response.json();
  } catch (error) {
    throw refused(`is no JSON (${error.message})`);
  }
  if (!Array.isArray(places) || !places.length) throw refused("names no dataset");
  return places.map(({ name, url, live }) => {
    return { name, url: address(String(url)), live: live === true };
  });
}

function address(text) {
  const hub = text.match(HUB);
  if (hub) {
    const revision = encodeURIComponent(decoded(hub[2] ?? "main"));
    return `https://huggingface.co/datasets/${hub[1]}/resolve/${revision}/`;
  }
  let url;
  try {
    url = new URL(text, document.baseURI);
  } catch {
    throw new ReadError(`${text} is no address of a dataset: give one that begins with https://`);
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw new ReadError(`${text} is no address of a dataset that a page can read: give http(s)://`);
  }
  return url.href.endsWith("/") ? url.href : `${url.href}/`;
}

/** With names: their own, that on the Hub, or the last part of the address; no name twice. */
function named(places) {
  const taken = new Set();
  return places.map((place) => {
    const own = place.name ?? (nameIn(new URL(place.url).pathname) || "dataset");
    let name = String(own);
    for (let i = 2; taken.has(name); i += 1) name = `${own}-${i}`;
    taken.add(name);
    return { ...place, name };
  });
}

function nameIn(pathname) {
  const [, name, revision] = RESOLVED.exec(pathname) ?? [];
  if (name) return decoded(revision === "main" ? name : `${name}-${revision}`);
  return decoded(pathname.split("/").filter(Boolean).at(-1) ?? "");
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
