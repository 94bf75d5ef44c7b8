/** Correlations with intervals, ranks, quantiles, orders and bins: pure functions of numbers. */

// The normal quantile of a 95% interval, as queries/cosine_vs_gate_frequency.sql has it.
const Z = 1.959963984540054;

/**
 * @typedef {{n: number, pearson: number|null, pearsonLow: number|null, pearsonHigh: number|null,
 *   spearman: number|null, spearmanLow: number|null, spearmanHigh: number|null}} Correlation
 */

/**
 * Pearson and Spearman of the pairs whose values are both finite, with 95% intervals.
 *
 * As queries/cosine_vs_gate_frequency.sql defines them: ties share their average rank; the
 * intervals are by Fisher's z, that of Spearman with the standard error after Bonett and Wright. A
 * correlation is null where one of the two is constant; its interval is null below four pairs and
 * at 1 and -1.
 *
 * @param {ArrayLike<number>} x
 * @param {ArrayLike<number>} y as many
 * @returns {Correlation}
 */
export function correlation(x, y) {
  let n = 0;
  let xs = new Float64Array(x.length);
  let ys = new Float64Array(x.length);
  for (let i = 0; i < x.length; i += 1) {
    if (!Number.isFinite(x[i]) || !Number.isFinite(y[i])) continue;
    xs[n] = x[i];
    ys[n] = y[i];
    n += 1;
  }
  xs = xs.subarray(0, n);
  ys = ys.subarray(0, n);
  const pearson = pearsonOf(xs, ys);
  const spearman = pearsonOf(ranks(xs), ranks(ys));
  const width = n > 3 ? Z / Math.sqrt(n - 3) : null;
  const [pearsonLow, pearsonHigh] = interval(pearson, width);
  const [spearmanLow, spearmanHigh] = interval(
    spearman,
    width === null ? null : width * Math.sqrt(1 + spearman ** 2 / 2),
  );
  return { n, pearson, pearsonLow, pearsonHigh, spearman, spearmanLow, spearmanHigh };
}

function pearsonOf(x, y) {
  const n = x.length;
  const meanX = mean(x);
  const meanY = mean(y);
  let xx = 0;
  let yy = 0;
  let xy = 0;
  for (let i = 0; i < n; i += 1) {
    const dx = x[i] - meanX;
    const dy = y[i] - meanY;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  // Equal numbers have a mean that may differ from them by rounding.
  if (n < 2 || isConstant(x) || isConstant(y)) return null;
  return Math.max(-1, Math.min(1, xy / Math.sqrt(xx * yy)));
}

function mean(values) {
  let sum = 0;
  for (let i = 0; i < values.length; i += 1) sum += values[i];
  return sum / values.length;
}

function isConstant(values) {
  for (let i = 1; i < values.length; i += 1) if (values[i] !== values[0]) return false;
  return true;
}

// Within rounding of 1 a correlation is 1, where Fisher's z is infinite.
function interval(r, width) {
  if (r === null || width === null || Math.abs(r) >= 1 - 1e-12) return [null, null];
  const z = Math.atanh(r);
  return [Math.tanh(z - width), Math.tanh(z + width)];
}

/**
 * Ranks from 1; ties share the mean of theirs.
 *
 * @param {ArrayLike<number>} values without NaN
 * @returns {Float64Array}
 */
function ranks(values) {
  const sorted = Float64Array.from(values).sort();
  // The rank of the ties that begin at each place.
  const shared = new Float64Array(sorted.length);
  for (let first = 0, next; first < sorted.length; first = next) {
    next = first + 1;
    while (next < sorted.length && sorted[next] === sorted[first]) next += 1;
    shared[first] = (first + 1 + next) / 2;
  }
  const found = new Float64Array(values.length);
  for (let i = 0; i < values.length; i += 1) found[i] = shared[below(sorted, values[i])];
  return found;
}

/** How many of sorted numbers are less than a value. */
function below(sorted, value) {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (sorted[middle] < value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The order of values: ties stay as they stand, NaN comes last either way.
 *
 * @param {ArrayLike<number>} values
 * @param {boolean} [descending]
 * @returns {Uint32Array} places of the values, first to last
 */
export function order(values, descending = false) {
  const n = values.length;
  const keys = new Float64Array(n);
  for (let i = 0; i < n; i += 1) keys[i] = descending ? -values[i] : values[i];
  // Sorting plain numbers and looking their places up is quicker than sorting places by a function.
  const sorted = keys.slice().sort();
  const found = new Uint32Array(n);
  const used = new Uint32Array(n + 1);
  const nNumbers = countNumbers(keys);
  let nNaN = 0;
  for (let i = 0; i < n; i += 1) {
    if (Number.isNaN(keys[i])) {
      found[nNumbers + nNaN] = i;
      nNaN += 1;
    } else {
      const first = below(sorted, keys[i]);
      found[first + used[first]] = i;
      used[first] += 1;
    }
  }
  return found;
}

function countNumbers(values) {
  let n = 0;
  for (let i = 0; i < values.length; i += 1) if (!Number.isNaN(values[i])) n += 1;
  return n;
}

/** The values that are finite. @param {ArrayLike<number>} values @returns {Float64Array} */
export function finite(values) {
  const found = new Float64Array(values.length);
  let n = 0;
  for (let i = 0; i < values.length; i += 1) {
    if (!Number.isFinite(values[i])) continue;
    found[n] = values[i];
    n += 1;
  }
  return found.subarray(0, n);
}

/**
 * Quantiles, interpolated between neighbours as SQL's `quantile_cont`.
 *
 * @param {ArrayLike<number>} values those that are not finite are left out
 * @param {number[]} probabilities
 * @returns {(number|null)[]} null where there is no value
 */
export function quantiles(values, probabilities) {
  const sorted = finite(values).sort();
  return probabilities.map((probability) => {
    if (!sorted.length) return null;
    const place = probability * (sorted.length - 1);
    const [low, high] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]];
    return low + (high - low) * (place - Math.floor(place));
  });
}

/**
 * How many values lie in each of equally wide bins; the last one holds its upper edge.
 *
 * @param {ArrayLike<number>} values those outside are left out
 * @param {number} low
 * @param {number} high
 * @param {number} nBins
 * @returns {Uint32Array}
 */
export function histogram(values, low, high, nBins) {
  const counts = new Uint32Array(nBins);
  for (let i = 0; i < values.length; i += 1) {
    const value = values[i];
    if (value >= low && value <= high) {
      counts[Math.min(nBins - 1, Math.floor(((value - low) / (high - low)) * nBins))] += 1;
    }
  }
  return counts;
}
