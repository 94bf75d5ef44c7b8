/** Marks put into an image pixel by pixel: for many thousands quicker than a canvas draws them. */

/** An image of `width` by `height` device pixels, empty at first. */
export class StampedImage {
  /** @param {number} width @param {number} height */
  constructor(width, height) {
    this.width = width;
    this.height = height;
    // With its alpha multiplied in, so that a mark over another is one sum.
    this.pixels = new Uint8ClampedArray(width * height * 4);
  }

  /**
   * Put a stamp over what is there.
   *
   * @param {Stamp} stamp
   * @param {number} x of its middle
   * @param {number} y
   */
  put(stamp, x, y) {
    const { side, cover, red, green, blue } = stamp;
    const left = Math.round(x - side / 2);
    const top = Math.round(y - side / 2);
    const { width, height, pixels } = this;
    if (left < 0 || top < 0 || left + side > width || top + side > height) return;
    const { offsets } = stamp.on(width);
    const corner = (top * width + left) * 4;
    for (let k = 0; k < offsets.length; k += 1) {
      const at = corner + offsets[k];
      const alpha = cover[k];
      const rest = 1 - alpha;
      pixels[at] = red * alpha + pixels[at] * rest;
      pixels[at + 1] = green * alpha + pixels[at + 1] * rest;
      pixels[at + 2] = blue * alpha + pixels[at + 2] * rest;
      pixels[at + 3] = 255 * alpha + pixels[at + 3] * rest;
    }
  }

  /** Draw it in place of what a canvas holds. @param {CanvasRenderingContext2D} context */
  drawOn(context) {
    const { pixels } = this;
    for (let at = 3; at < pixels.length; at += 4) {
      const alpha = pixels[at];
      if (alpha === 0 || alpha === 255) continue;
      const factor = 255 / alpha;
      pixels[at - 3] *= factor;
      pixels[at - 2] *= factor;
      pixels[at - 1] *= factor;
    }
    context.putImageData(new ImageData(pixels, this.width, this.height), 0, 0);
  }
}

/** A mark as the share by which it covers each pixel. */
export class Stamp {
  /**
   * @param {object} options
   * @param {string} options.shape path in a square of side 2 around 0
   * @param {boolean} options.isHollow only its outline
   * @param {number} options.radius in device pixels
   * @param {string} options.colour as CSS has it
   * @param {number} options.opacity of 1
   */
  constructor({ shape, isHollow, radius, colour, opacity }) {
    this.side = Math.ceil(radius * 2.5) + 1;
    const canvas = document.createElement("canvas");
    canvas.width = this.side;
    canvas.height = this.side;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = colour;
    context.fillRect(0, 0, 1, 1);
    [this.red, this.green, this.blue] = context.getImageData(0, 0, 1, 1).data;
    context.clearRect(0, 0, this.side, this.side);
    context.translate(this.side / 2, this.side / 2);
    context.scale(radius, radius);
    context.lineWidth = 0.4;
    if (isHollow) context.stroke(new Path2D(shape));
    else context.fill(new Path2D(shape));
    const { data } = context.getImageData(0, 0, this.side, this.side);
    const places = [];
    for (let place = 0; place < this.side ** 2; place += 1) {
      if (data[place * 4 + 3]) places.push(place);
    }
    this.places = places;
    this.cover = Float32Array.from(places, (place) => (data[place * 4 + 3] / 255) * opacity);
    this.width = 0;
  }

  /** The same in an image of a width. @param {number} width */
  on(width) {
    if (this.width !== width) {
      this.width = width;
      this.offsets = Int32Array.from(this.places, (place) =>
        (Math.floor(place / this.side) * width + (place % this.side)) * 4);
    }
    return this;
  }
}
