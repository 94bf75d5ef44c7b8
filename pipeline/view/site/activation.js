/** Activation functions by the names of transformers, and what follows from gate and in. */

const ROOT_2_OVER_PI = Math.sqrt(2 / Math.PI);
const sigmoid = (x) => 1 / (1 + Math.exp(-x));
const silu = (x) => x * sigmoid(x);
const gelu = (x) => 0.5 * x * erfc(-x / Math.SQRT2);
const geluTanh = (x) => x * sigmoid(2 * ROOT_2_OVER_PI * (x + 0.044715 * x ** 3));
const relu = (x) => (x > 0 ? x : x * 0);

const FUNCTIONS = {
  silu,
  swish: silu,
  gelu,
  gelu_python: gelu,
  gelu_new: geluTanh,
  gelu_fast: geluTanh,
  gelu_accurate: geluTanh,
  gelu_pytorch_tanh: geluTanh,
  gelu_python_tanh: geluTanh,
  quick_gelu: (x) => x * sigmoid(1.702 * x),
  relu,
  relu2: (x) => relu(x) ** 2,
  "relu^2": (x) => relu(x) ** 2,
  relu6: (x) => Math.min(relu(x), 6),
  leaky_relu: (x) => (x > 0 ? x : 0.01 * x),
  mish: (x) => x * Math.tanh(x > 30 ? x : Math.log1p(Math.exp(x))),
  sigmoid,
  tanh: Math.tanh,
  linear: (x) => x,
};

// Activations were computed in the model's dtype: of bfloat16 three digits or so are right.
const TOLERANCE = 0.03;

/**
 * The activation function of a name, or null.
 *
 * @param {string} name as the manifest has it
 * @returns {((gate: number) => number)|null}
 */
export function activationOf(name) {
  return Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : null;
}

/**
 * Whether act_fn(gate) * in gives the stored post at the peaks, to what the dtype leaves right.
 *
 * A model may change the gate inside its activation, which no name tells; then act and post cannot
 * be had from gate and in, and are better not shown.
 *
 * @param {(gate: number) => number} act
 * @param {{gate_value: number, in_value: number, post_value: number}[]} rows of `examples`
 */
export function agreesAtPeaks(act, rows) {
  const finite = rows.filter(({ gate_value, in_value, post_value }) =>
    [gate_value, in_value, post_value].every(Number.isFinite) && Number.isFinite(act(gate_value)));
  const largest = Math.max(0, ...finite.map((row) => Math.abs(row.post_value)));
  const off = finite.filter(({ gate_value, in_value, post_value }) => {
    const error = Math.abs(act(gate_value) * in_value - post_value);
    return error > TOLERANCE * Math.abs(post_value) + 1e-4 * largest;
  });
  return off.length <= finite.length / 10;
}

/** The complementary error function, to 1e-12 of its value. */
function erfc(x) {
  if (Number.isNaN(x)) return NaN;
  if (x < 0) return 2 - erfc(-x);
  if (x > 27) return 0;
  return x < 2 ? 1 - erfSeries(x) : erfcFraction(x);
}

function erfSeries(x) {
  let term = x;
  let sum = x;
  for (let n = 1; term > sum * 1e-17; n += 1) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

function erfcFraction(x) {
  let fraction = 0;
  for (let n = 60; n > 0; n -= 1) fraction = n / 2 / (x + fraction);
  return Math.exp(-x * x) / Math.sqrt(Math.PI) / (x + fraction);
}
