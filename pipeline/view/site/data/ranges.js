/**
 * Bytes of a dataset's files by HTTP ranges: what is asked for in one turn is fetched together, and
 * what was fetched is kept.
 */

import { ReadError } from "./errors.js";

// Two ranges so near to each other are one request: on a network a request costs more than that.
const GAP = 64 * 1024;
// Of all files together, so that a long session does not grow for ever.
const KEPT = 96 * 1024 * 1024;

/** Fetches and keeps the bytes of every file below one address; an event `read` tells of more. */
export class Ranges extends EventTarget {
  /** @param {string} base address of the dataset's folder, with a slash at its end */
  constructor(base) {
    super();
    this.base = base;
    /** Bytes that came over the wire so far. */
    this.bytesRead = 0;
    /** @type {Map<string, Piece[]>} */
    this.pieces = new Map();
    this.kept = 0;
    /** @type {Map<string, Wanted[]>} */
    this.wanted = new Map();
  }

  /**
   * A file as hyparquet reads it.
   *
   * @param {{path: string, bytes: number}} file as the manifest names it
   */
  file({ path, bytes }) {
    return {
      byteLength: bytes,
      slice: (start, end = bytes) => this.slice(path, bytes, start, end),
    };
  }

  /**
   * The bytes [start, end) of a file of `size` bytes.
   *
   * @param {string} path
   * @param {number} size
   * @param {number} start
   * @param {number} end
   * @returns {Promise<ArrayBuffer>}
   * @throws {ReadError} where the file is gone, was changed, or its host knows no ranges
   */
  slice(path, size, start, end) {
    if (start === end) return Promise.resolve(new ArrayBuffer(0));
    const piece = this.pieces.get(path)?.find((one) => one.start <= start && end <= one.end);
    if (piece) {
      piece.used = performance.now();
      return piece.buffer.then((buffer) => buffer.slice(start - piece.start, end - piece.start));
    }
    return new Promise((resolve, reject) => {
      const wanted = this.wanted.get(path) ?? [];
      this.wanted.set(path, [...wanted, { start, end, resolve, reject }]);
      // After this turn, when everything that is asked for now is known.
      if (!wanted.length) setTimeout(() => this.fetchWanted(path, size));
    });
  }

  /** @param {string} path @param {number} size */
  fetchWanted(path, size) {
    const all = this.wanted.get(path).sort((a, b) => a.start - b.start);
    this.wanted.delete(path);
    let run = [];
    let runEnd = -Infinity;
    const runs = [];
    for (const one of all) {
      if (one.start > runEnd + GAP) {
        run = [];
        runs.push(run);
        runEnd = -Infinity;
      }
      run.push(one);
      runEnd = Math.max(runEnd, one.end);
    }
    for (const members of runs) this.fetchRun(path, size, members);
  }

  /** @param {string} path @param {number} size @param {Wanted[]} members sorted by start */
  fetchRun(path, size, members) {
    const start = members[0].start;
    const end = Math.max(...members.map((one) => one.end));
    const buffer = this.fetchRange(path, size, start, end);
    const piece = { start, end, buffer, used: performance.now() };
    this.pieces.set(path, [...(this.pieces.get(path) ?? []), piece]);
    this.kept += end - start;
    this.forget();
    for (const one of members) {
      buffer.then(
        (whole) => one.resolve(whole.slice(one.start - start, one.end - start)),
        one.reject,
      );
    }
    // What failed may go well when it is asked for again.
    buffer.catch(() => this.drop(path, piece));
  }

  /** @param {string} path @param {Piece} piece */
  drop(path, piece) {
    const left = this.pieces.get(path).filter((one) => one !== piece);
    if (left.length < this.pieces.get(path).length) this.kept -= piece.end - piece.start;
    this.pieces.set(path, left);
  }

  forget() {
    if (this.kept <= KEPT) return;
    const all = [...this.pieces].flatMap(([path, pieces]) =>
      pieces.map((piece) => ({ path, piece })),
    );
    all.sort((a, b) => a.piece.used - b.piece.used);
    for (const { path, piece } of all) {
      if (this.kept <= KEPT / 2) return;
      this.drop(path, piece);
    }
  }

  /** @returns {Promise<ArrayBuffer>} */
  async fetchRange(path, size, start, end) {
    const url = new URL(path, this.base);
    // A host that knows no ranges sends the whole file: that is seen by its status, and ended.
    const controller = new AbortController();
    const headers = { Range: `bytes=${start}-${end - 1}` };
    const response = await fetched(url, { headers, signal: controller.signal });
    if (response.status !== 206) {
      controller.abort();
      throw new ReadError(refusal(url, response.status, start, size));
    }
    const buffer = await response.arrayBuffer().catch((error) => {
      throw new ReadError(`${url} broke off (${error.message}); load the page again`);
    });
    this.bytesRead += buffer.byteLength;
    this.dispatchEvent(new Event("read"));
    const total = response.headers.get("Content-Range")?.split("/")[1];
    if (buffer.byteLength !== end - start || (total && total !== "*" && Number(total) !== size)) {
      throw new ReadError(
        `${url} is not the file that manifest.json names (${size} bytes): the dataset was ` +
          "changed while this page was open, or its copy is incomplete; load the page again, or " +
          "copy it again",
      );
    }
    return buffer;
  }
}

/**
 * `fetch`, whose failures are said to a person.
 *
 * @param {URL} url
 * @param {RequestInit} [init]
 * @returns {Promise<Response>}
 */
export async function fetched(url, init) {
  try {
    return await fetch(url, { cache: "no-store", ...init });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    const elsewhere = url.origin !== location.origin;
    throw new ReadError(
      `${url} cannot be reached; ` +
        (elsewhere
          ? "see that the address is right and that its host allows other sites to read it (CORS)"
          : "see that the server still runs, and load the page again"),
    );
  }
}

function refusal(url, status, start, size) {
  if (status === 200) {
    return (
      `The host of ${url} knows no byte ranges (it answered 200, not 206), and without them a ` +
      "page would have to load whole tables; use `gatescope serve` or another host, such as " +
      "nginx, Caddy, S3 or the Hugging Face Hub"
    );
  }
  if (status === 404) {
    return (
      `${url} is missing, though manifest.json names it; copy the whole dataset, or run it again`
    );
  }
  if (status === 416) {
    return (
      `${url} is shorter than manifest.json says (${size} bytes): its copy is incomplete; ` +
      "copy it again"
    );
  }
  return refused(url, status);
}

/**
 * What a status means that is no answer.
 *
 * @param {URL} url
 * @param {number} status
 * @returns {string} a sentence
 */
export function refused(url, status) {
  // The Hub says 401 of what is private, and of what there is not.
  if (status === 401 || status === 403) {
    return (
      `${url} is not open to everyone, or does not exist (its host answered ${status}); see that ` +
      "the address is right, or run `gatescope serve` with its Hub id where you are logged in"
    );
  }
  if (status === 429) {
    return `The host of ${url} asks to wait (it answered 429): load the page again in some minutes`;
  }
  return `${url} cannot be read: its host answered ${status}`;
}

/**
 * @typedef {{start: number, end: number, buffer: Promise<ArrayBuffer>, used: number}} Piece
 * @typedef {{start: number, end: number, resolve: Function, reject: Function}} Wanted
 */
