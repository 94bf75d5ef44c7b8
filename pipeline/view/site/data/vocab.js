/** The vocabulary of a dataset: the bytes and the text of every token id. */
export class Vocab {
  /** @param {{bytes: (Uint8Array|null)[], token: string[]}} columns row i is token id i */
  constructor(columns) {
    this.columns = columns;
  }

  /** How many token ids there are. */
  get size() {
    return this.columns.token.length;
  }

  /** The token's bytes, or null where its tokenizer does not tell. @param {number} id */
  bytes(id) {
    return this.columns.bytes[id] ?? null;
  }

  /** The token as the dataset shows it to a person. @param {number} id */
  text(id) {
    return this.columns.token[id] ?? `<id ${id}>`;
  }
}
