/** What cannot be read, said to a person: the thing, what is wrong with it, what to do. */
export class ReadError extends Error {
  /** @param {string} message */
  constructor(message) {
    super(message);
    this.name = "ReadError";
  }
}
