// LayerState.update for CPUs in one pass: totals, best scores, and lists with their windows.
//
// The definitions are those of reduce_batch (signs.py) and LayerState.update (state.py), which this
// is tested against. It is compiled where it runs, by scan/compiled.py, and called by native.py.
//
// A thread owns a range of neurons, and so every number of the state that it writes. It takes 16
// neurons (a tile) of one example at a time, laid side by side in a buffer that stays in its cache:
// the windows of what enters a list are read from there. A position costs its list nothing but a
// comparison with the list's worst entry, until it beats it.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <system_error>
#include <thread>
#include <vector>

namespace {

constexpr int LANES = 16, COMBOS = 4, QUANTITIES = 4, MOST_RANKINGS = 4;
// Neurons that are copied from a row of an activation at a time, whole cache lines.
constexpr int64_t STRIPE = 4 * LANES;
// Sums are float32 within this many positions and float64 beyond.
constexpr int64_t BLOCK = 32;
constexpr int64_t LAST_ID = 0xffffffff;

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef int32_t Ints __attribute__((vector_size(4 * LANES)));
typedef uint16_t Shorts __attribute__((vector_size(2 * LANES)));
typedef double Doubles __attribute__((vector_size(8 * LANES)));

// Storage types of activations; a bfloat16 is the upper half of a float.
typedef uint16_t BFloat16;

template <typename V, typename T>
inline V loaded(const T* from) {
  V values;
  std::memcpy(&values, from, sizeof values);
  return values;
}

inline Floats widened(const float* from) { return loaded<Floats>(from); }

inline Floats widened(const BFloat16* from) {
  return (Floats)(__builtin_convertvector(loaded<Shorts>(from), Ints) << 16);
}

#ifdef __FLT16_MAX__
typedef _Float16 Halves __attribute__((vector_size(2 * LANES)));

inline Floats widened(const _Float16* from) {
  return __builtin_convertvector(loaded<Halves>(from), Floats);
}
#endif

inline bool any(Ints mask) {
  int32_t found = 0;
  for (int lane = 0; lane < LANES; lane++) found |= mask[lane];
  return found != 0;
}

inline Floats kept(Ints where, Floats values) { return (Floats)(where & (Ints)values); }

}  // namespace

// One call; native.py has the same fields. Strides count elements, the neurons lie side by side.
struct Call {
  // Sizes, and the first position that counts.
  int64_t batch, n_neurons, n_rankings, k, before, after, skip, n_threads;
  int64_t gate_strides[2], in_strides[2], act_strides[2];  // example, position
  int64_t random_stride;                                   // example
  int64_t rankings[MOST_RANKINGS];                         // 0 post, 1 in, 2 gate, 3 random
  // The batch: [batch pos neuron] three times, [batch pos], [batch] twice.
  const void *gate, *in_;
  const float *act, *random;
  const int64_t *lengths, *example_ids;
  // The state, as in LayerState.
  int64_t* counts;
  double* sums;
  int64_t *keys, *worst;
  int32_t* positions;
  void *gate_windows, *in_windows;
};

namespace {

// One example's activations of a tile, [pos LANES] each, 0 beyond the last neuron.
template <typename T>
struct Tile {
  const T *gate, *in;
  const float* act;
};

// Where the score of a list has to lie above: every score that its worst entry does not beat, as a
// tie may have the smaller example_id. Below 0 where the list has room.
float limit_of(int64_t worst) {
  const int32_t bits = worst < 0 ? 0 : (int32_t)(worst >> 32);
  if (bits == 0) return -1.0f;
  const int32_t next_below = bits - 1;
  float limit;
  std::memcpy(&limit, &next_below, sizeof limit);
  return limit;
}

int64_t key_of(float score, int64_t example_id) {
  int32_t bits;
  std::memcpy(&bits, &score, sizeof bits);
  return ((int64_t)bits << 32) | (LAST_ID - example_id);
}

template <typename T>
void copy_window(T* to, const T* column, int64_t start, int64_t length, int64_t window) {
  for (int64_t w = 0; w < window; w++) {
    const int64_t pos = start + w;
    to[w] = pos >= 0 && pos < length ? column[pos * LANES] : T(0);
  }
}

// Puts an entry in the place of a list's worst one. `gate` and `in` are columns of a tile.
template <typename T>
void enter(const Call& call, int64_t row, int64_t key, int64_t position, const T* gate, const T* in,
           int64_t length) {
  const int64_t window = call.before + 1 + call.after;
  int64_t* keys = call.keys + row * call.k;
  int64_t slot = 0;
  while (keys[slot] != call.worst[row]) slot++;
  keys[slot] = key;
  int64_t worst = key;
  for (int64_t s = 0; s < call.k; s++) worst = keys[s] < worst ? keys[s] : worst;
  call.worst[row] = worst;
  const int64_t at = row * call.k + slot;
  call.positions[at] = (int32_t)position;
  copy_window((T*)call.gate_windows + at * window, gate, position - call.before, length, window);
  copy_window((T*)call.in_windows + at * window, in, position - call.before, length, window);
}

// Counts one example's positions of up to LANES neurons, `first` the first of them.
template <typename T, int RANKINGS>
void update_tile(const Call& call, int64_t example, int64_t first, int lanes, const Tile<T>& tile) {
  const int64_t length = call.lengths[example], n_neurons = call.n_neurons;
  const float* random = call.random + example * call.random_stride;
  Floats limit[COMBOS][RANKINGS];
  Ints best_at[COMBOS][RANKINGS];
  for (int c = 0; c < COMBOS; c++)
    for (int r = 0; r < RANKINGS; r++) {
      best_at[c][r] = Ints{} - 1;
      const int64_t* worst = call.worst + (c * RANKINGS + r) * n_neurons + first;
      for (int lane = 0; lane < LANES; lane++)
        limit[c][r][lane] = lane < lanes ? limit_of(worst[lane]) : INFINITY;
    }
  Doubles totals[QUANTITIES][COMBOS] = {};
  Ints counts[COMBOS] = {};
  Ints not_finite = {};
  const Ints magnitude = Ints{} + 0x7fffffff;
  for (int64_t start = call.skip; start < length; start += BLOCK) {
    const int64_t stop = start + BLOCK < length ? start + BLOCK : length;
    Floats sums[QUANTITIES][COMBOS] = {};
    for (int64_t pos = start; pos < stop; pos++) {
      const Floats gate = widened(tile.gate + pos * LANES), in = widened(tile.in + pos * LANES);
      const Floats act = widened(tile.act + pos * LANES), post = act * in;
      const Floats nothing = (gate - gate) + (in - in);
      not_finite |= nothing != nothing;
      const Ints above = gate > 0, below = gate < 0;
      const Ints inside[COMBOS] = {above & (in > 0), above & (in < 0), below & (in > 0),
                                   below & (in < 0)};
      for (int c = 0; c < COMBOS; c++) {
        counts[c] -= inside[c];
        sums[0][c] += kept(inside[c], gate);
        sums[1][c] += kept(inside[c], in);
        sums[2][c] += kept(inside[c], act);
        sums[3][c] += kept(inside[c], post);
      }
      const Floats scores[MOST_RANKINGS] = {kept(magnitude, post), kept(magnitude, in),
                                            kept(magnitude, gate), Floats{} + random[pos]};
      Ints better[RANKINGS], found = {};
      for (int r = 0; r < RANKINGS; r++) {
        Floats own = {};
        for (int c = 0; c < COMBOS; c++) own = (Floats)((Ints)own | (Ints)kept(inside[c], limit[c][r]));
        better[r] = scores[call.rankings[r]] > own;
        found |= better[r];
      }
      if (!any(found & (inside[0] | inside[1] | inside[2] | inside[3]))) continue;
      for (int c = 0; c < COMBOS; c++)
        for (int r = 0; r < RANKINGS; r++) {
          const Ints new_best = better[r] & inside[c];
          limit[c][r] = new_best ? scores[call.rankings[r]] : limit[c][r];
          best_at[c][r] = new_best ? Ints{} + (int32_t)pos : best_at[c][r];
        }
    }
    for (int q = 0; q < QUANTITIES; q++)
      for (int c = 0; c < COMBOS; c++) totals[q][c] += __builtin_convertvector(sums[q][c], Doubles);
  }
  for (int c = 0; c < COMBOS; c++)
    for (int lane = 0; lane < lanes; lane++) {
      const int64_t neuron = first + lane;
      call.counts[c * n_neurons + neuron] += counts[c][lane];
      for (int q = 0; q < QUANTITIES; q++)
        call.sums[(q * COMBOS + c) * n_neurons + neuron] += not_finite[lane] ? NAN : totals[q][c][lane];
      for (int r = 0; r < RANKINGS; r++) {
        if (best_at[c][r][lane] < 0) continue;
        const int64_t key = key_of(limit[c][r][lane], call.example_ids[example]);
        const int64_t row = (c * RANKINGS + r) * n_neurons + neuron;
        if (key > call.worst[row])
          enter(call, row, key, best_at[c][r][lane], tile.gate + lane, tile.in + lane, length);
      }
    }
}

// Copies [pos width] of rows that lie `stride` apart to [tile pos LANES], 0 beyond `width`.
template <typename T>
void lay_out(T* to, const T* from, int64_t stride, int64_t length, int64_t width) {
  for (int64_t pos = 0; pos < length; pos++)
    for (int64_t start = 0; start < width; start += LANES) {
      T* row = to + start * length + pos * LANES;
      if (start + LANES <= width) {
        std::memcpy(row, from + pos * stride + start, sizeof(T) * LANES);
        continue;
      }
      for (int64_t lane = 0; lane < LANES; lane++)
        row[lane] = start + lane < width ? from[pos * stride + start + lane] : T(0);
    }
}

template <typename T, int RANKINGS>
void update_range(const Call& call, int64_t first, int64_t stop) {
  int64_t longest = 0;
  for (int64_t e = 0; e < call.batch; e++)
    longest = call.lengths[e] > longest ? call.lengths[e] : longest;
  std::vector<T> gate(STRIPE * longest), in(STRIPE * longest);
  std::vector<float> act(STRIPE * longest);
  for (int64_t e = 0; e < call.batch; e++)
    for (int64_t neuron = first; neuron < stop; neuron += STRIPE) {
      const int64_t length = call.lengths[e];
      const int64_t width = stop - neuron < STRIPE ? stop - neuron : STRIPE;
      lay_out(gate.data(), (const T*)call.gate + e * call.gate_strides[0] + neuron,
              call.gate_strides[1], length, width);
      lay_out(in.data(), (const T*)call.in_ + e * call.in_strides[0] + neuron, call.in_strides[1],
              length, width);
      lay_out(act.data(), call.act + e * call.act_strides[0] + neuron, call.act_strides[1], length,
              width);
      for (int64_t start = 0; start < width; start += LANES) {
        const int64_t at = start * length;
        const int lanes = (int)(width - start < LANES ? width - start : LANES);
        update_tile<T, RANKINGS>(call, e, neuron + start, lanes,
                                 {gate.data() + at, in.data() + at, act.data() + at});
      }
    }
}

template <typename T>
void update_neurons(const Call& call, int64_t first, int64_t stop) {
  switch (call.n_rankings) {
    case 1: return update_range<T, 1>(call, first, stop);
    case 2: return update_range<T, 2>(call, first, stop);
    case 3: return update_range<T, 3>(call, first, stop);
    default: return update_range<T, 4>(call, first, stop);
  }
}

// Every neuron is summed alone and in order, so that the number of threads changes no result.
template <typename T>
void update(const Call& call) {
  const int64_t n_tiles = (call.n_neurons + LANES - 1) / LANES;
  const int64_t n_threads = call.n_threads < n_tiles ? call.n_threads : n_tiles;
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < n_threads; t++) {
    const int64_t first = n_tiles * t / n_threads * LANES;
    const int64_t end = n_tiles * (t + 1) / n_threads * LANES;
    const int64_t stop = end < call.n_neurons ? end : call.n_neurons;
    const auto work = [&call, first, stop] { update_neurons<T>(call, first, stop); };
    if (t + 1 == n_threads) {
      work();
      continue;
    }
    try {
      threads.emplace_back(work);
    } catch (const std::system_error&) {  // no more threads for this process
      work();
    }
  }
  for (auto& thread : threads) thread.join();
}

}  // namespace

extern "C" void update_float32(const Call* call) { update<float>(*call); }

extern "C" void update_bfloat16(const Call* call) { update<BFloat16>(*call); }

#ifdef __FLT16_MAX__
extern "C" void update_float16(const Call* call) { update<_Float16>(*call); }
#endif
