/** Tables in Parquet files. The one that knows hyparquet and the codec. */

import { decompress } from "../vendor/fzstd/index.js";
import { parquetMetadataAsync, parquetRead } from "../vendor/hyparquet/index.js";
import { ReadError } from "./errors.js";

const compressors = { ZSTD: (input, length) => decompress(input, new Uint8Array(length)) };
// What is fetched first of a file's end: at least this, or this part of it, which holds the footer
// of most tables. Where it does not, the rest is fetched then.
const FOOTER = 32 * 1024;
const FOOTER_PART = 1 / 2500;
// A row group no longer than this is fetched in one piece: on a network a request costs more.
const SMALL_GROUP = 256 * 1024;
// A byte order mark is a character like others here.
const text = new TextDecoder("utf-8", { ignoreBOM: true });
const parsers = { stringFromBytes: (bytes) => bytes && text.decode(bytes) };

/** One Parquet file. */
export class ParquetFile {
  /** @param {{byteLength: number, slice: Function}} file @param {string} path for messages */
  constructor(file, path) {
    this.file = file;
    this.path = path;
    this.footer = null;
  }

  async metadata() {
    this.footer ??= parquetMetadataAsync(this.file, {
      initialFetchSize: Math.max(FOOTER, Math.ceil(this.file.byteLength * FOOTER_PART)),
      geoparquet: false,
      parsers,
    }).catch((error) => {
      this.footer = null;
      throw this.said(error);
    });
    return this.footer;
  }

  /** Names of the columns. @returns {Promise<string[]>} */
  async columnNames() {
    const { schema } = await this.metadata();
    const names = [];
    for (let i = 1; i < schema.length; i += 1 + descendants(schema, i)) names.push(schema[i].name);
    return names;
  }

  /**
   * Columns of the rows [start, end), as arrays.
   *
   * @param {string[]} columns
   * @param {number} [start]
   * @param {number} [end]
   * @returns {Promise<Record<string, any[]>>} int64 as numbers; null as it is
   */
  async columns(columns, start = 0, end = Infinity) {
    const metadata = await this.metadata();
    const stop = Math.min(end, Number(metadata.num_rows));
    const found = Object.fromEntries(columns.map((name) => [name, new Array(stop - start)]));
    await this.read({
      metadata,
      columns,
      rowStart: start,
      rowEnd: stop,
      onChunk({ columnName, columnData, rowStart, rowEnd }) {
        const column = found[columnName];
        for (let row = Math.max(rowStart, start); row < Math.min(rowEnd, stop); row += 1) {
          column[row - start] = plain(columnData[row - rowStart]);
        }
      },
    });
    return found;
  }

  /**
   * Rows [start, end) as objects.
   *
   * @param {number} start
   * @param {number} end
   * @param {string[]} [columns] all by default
   */
  async rows(start, end, columns) {
    const names = columns ?? (await this.columnNames());
    const found = await this.columns(names, start, end);
    const n = found[names[0]].length;
    return Array.from({ length: n }, (_, i) =>
      Object.fromEntries(names.map((name) => [name, found[name][i]])),
    );
  }

  /**
   * The row groups, each with the bytes of some of its columns.
   *
   * @param {string} column a sorted integer column; its bounds are infinite where unknown
   * @param {string[]} names
   * @returns {Promise<RowGroup[]>}
   */
  async rowGroups(column, names) {
    const { row_groups: groups } = await this.metadata();
    let end = 0;
    return groups.map(({ num_rows: nRows, columns }) => {
      const start = end;
      end += Number(nRows);
      const metas = columns.map((chunk) => chunk.meta_data);
      const named = (name) => metas.find((meta) => meta.path_in_schema[0] === name);
      const { min_value: low, max_value: high } = named(column).statistics ?? {};
      const { data_page_offset: page, dictionary_page_offset: dictionary } = metas[0];
      const from = Number(dictionary ?? page);
      const pages = columns.map((chunk) => Number(chunk.offset_index_offset ?? from));
      const ends = columns.map((chunk, i) => pages[i] + Number(chunk.offset_index_length ?? 0));
      return {
        start, end, from, index: [Math.min(...pages), Math.max(...ends)],
        to: metas.reduce((sum, meta) => sum + Number(meta.total_compressed_size), from),
        low: Number(low ?? -Infinity), high: Number(high ?? Infinity),
        bytes: names.reduce((sum, name) => sum + Number(named(name).total_compressed_size), 0),
      };
    });
  }

  /**
   * The rows whose sorted integer column holds a value; they lie beside each other.
   *
   * Reads the footer, and of the row groups that may hold the value that one column.
   *
   * @param {string} column
   * @param {number} value
   * @returns {Promise<[number, number]>} first row and the one after the last; equal where none
   */
  async rangeOf(column, value) {
    const groups = await this.rowGroups(column, []);
    const spans = groups.filter(({ low, high }) => low <= value && value <= high);
    if (!spans.length) return [0, 0];
    const [{ start }, { end }] = [spans[0], spans.at(-1)];
    const [found] = await Promise.all([this.columns([column], start, end), this.foresee(spans)]);
    const values = found[column];
    const from = values.indexOf(value);
    return from < 0 ? [0, 0] : [start + from, start + values.lastIndexOf(value) + 1];
  }

  /** Fetch what will be read of row groups: small ones whole, of others where their pages lie. */
  async foresee(groups) {
    const [first, last] = [groups[0], groups.at(-1)];
    const isSmall = last.to - first.from <= SMALL_GROUP;
    const [from, to] = isSmall ? [first.from, last.to] : [first.index[0], last.index[1]];
    try {
      await this.file.slice(from, to);
    } catch (error) {
      throw this.said(error);
    }
  }

  async read(options) {
    try {
      await parquetRead({
        file: this.file,
        compressors,
        parsers,
        utf8: false, // `bytes` are bytes; columns of text say of themselves that they are
        useOffsetIndex: true,
        ...options,
      });
    } catch (error) {
      throw this.said(error);
    }
  }

  said(error) {
    if (error instanceof ReadError || error.name === "AbortError") return error;
    return new ReadError(`${this.path} cannot be read (${error.message}); copy or make it again`);
  }
}

function descendants(schema, i) {
  let n = 0;
  for (let child = 0; child < (schema[i].num_children ?? 0); child += 1) {
    n += 1 + descendants(schema, i + n + 1);
  }
  return n;
}

function plain(value) {
  if (typeof value === "bigint") return Number(value);
  return value === undefined ? null : value;
}

/**
 * @typedef {{start: number, end: number, from: number, to: number, index: [number, number],
 *   low: number, high: number, bytes: number}} RowGroup rows [start, end), which lie in the bytes
 *   [from, to); the bytes that say where pages lie; the least and the most of a column there, and
 *   how many bytes the columns have that were asked for
 */
