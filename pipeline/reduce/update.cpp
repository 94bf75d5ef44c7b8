// LayerState.update for CPUs in one pass: totals, best scores, and lists with their windows.
//
// The definitions are those of reduce_batch (signs.py) and LayerState.update (state.py), which this
// is tested against. It is compiled where it runs, by scan/compiled.py, and called by native.py: for
// one type of activations, VALUE (float, BFloat16 or _Float16), one number of RANKINGS, and the
// BLOCK of signs.py: sums are float32 within that many positions and float64 beyond.
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

typedef VALUE Value;

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
  int64_t batch, n_neurons, k, before, after, skip, n_threads;
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
struct Tile {
  const Value *gate, *in;
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

void copy_window(Value* to, const Value* column, int64_t start, int64_t length, int64_t window) {
  const int64_t first = start < 0 ? -start : 0;
  const int64_t stop = start + window > length ? length - start : window;
  for (int64_t w = 0; w < first; w++) to[w] = Value(0);
  for (int64_t w = first; w < stop; w++) to[w] = column[(start + w) * LANES];
  for (int64_t w = stop; w < window; w++) to[w] = Value(0);
}

// What an example puts in the place of a list's worst entry; `at` says where, once that is known.
struct Entry {
  int64_t row, key, position, lane, at;
};

// How many entries ahead memory is asked for: lists lie far apart, and nearly none is in a cache.
constexpr int64_t AHEAD = 4;

void ask_for(const void* memory, int64_t n_bytes) {
  for (int64_t byte = 0; byte < n_bytes; byte += 64)
    __builtin_prefetch((const char*)memory + byte, 1);
}

// Each entry of another list: first its keys are asked for, then its slot is found and the windows
// there are asked for, then it is written.
void enter(const Call& call, std::vector<Entry>& entries, const Tile& tile, int64_t length) {
  const int64_t window = call.before + 1 + call.after, n = entries.size();
  Value *gate_windows = (Value*)call.gate_windows, *in_windows = (Value*)call.in_windows;
  for (int64_t i = 0; i < n + 2 * AHEAD; i++) {
    if (i < n) ask_for(call.keys + entries[i].row * call.k, 8 * call.k);
    if (i >= AHEAD && i < n + AHEAD) {
      Entry& entry = entries[i - AHEAD];
      int64_t* keys = call.keys + entry.row * call.k;
      int64_t slot = 0, worst = entry.key;
      while (slot + 1 < call.k && keys[slot] != call.worst[entry.row]) slot++;
      keys[slot] = entry.key;
      for (int64_t s = 0; s < call.k; s++) worst = keys[s] < worst ? keys[s] : worst;
      call.worst[entry.row] = worst;
      entry.at = entry.row * call.k + slot;
      call.positions[entry.at] = (int32_t)entry.position;
      ask_for(gate_windows + entry.at * window, window * sizeof(Value));
      ask_for(in_windows + entry.at * window, window * sizeof(Value));
    }
    if (i >= 2 * AHEAD) {
      const Entry& entry = entries[i - 2 * AHEAD];
      const int64_t start = entry.position - call.before;
      copy_window(gate_windows + entry.at * window, tile.gate + entry.lane, start, length, window);
      copy_window(in_windows + entry.at * window, tile.in + entry.lane, start, length, window);
    }
  }
}

// Counts one example's positions of up to LANES neurons, `first` the first of them.
void update_tile(const Call& call, int64_t example, int64_t first, int lanes, const Tile& tile) {
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
  std::vector<Entry> entries;
  entries.reserve(COMBOS * RANKINGS * LANES);
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
        if (key > call.worst[row]) entries.push_back({row, key, best_at[c][r][lane], lane, 0});
      }
    }
  enter(call, entries, tile, length);
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

void update_neurons(const Call& call, int64_t first, int64_t stop) {
  int64_t longest = 0;
  for (int64_t e = 0; e < call.batch; e++)
    longest = call.lengths[e] > longest ? call.lengths[e] : longest;
  std::vector<Value> gate(STRIPE * longest), in(STRIPE * longest);
  std::vector<float> act(STRIPE * longest);
  for (int64_t e = 0; e < call.batch; e++)
    for (int64_t neuron = first; neuron < stop; neuron += STRIPE) {
      const int64_t length = call.lengths[e];
      const int64_t width = stop - neuron < STRIPE ? stop - neuron : STRIPE;
      lay_out(gate.data(), (const Value*)call.gate + e * call.gate_strides[0] + neuron,
              call.gate_strides[1], length, width);
      lay_out(in.data(), (const Value*)call.in_ + e * call.in_strides[0] + neuron, call.in_strides[1],
              length, width);
      lay_out(act.data(), call.act + e * call.act_strides[0] + neuron, call.act_strides[1], length,
              width);
      for (int64_t start = 0; start < width; start += LANES) {
        const int64_t at = start * length;
        const int lanes = (int)(width - start < LANES ? width - start : LANES);
        update_tile(call, e, neuron + start, lanes,
                    {gate.data() + at, in.data() + at, act.data() + at});
      }
    }
}

// Every neuron is summed alone and in order, so that the number of threads changes no result.
void update_all(const Call& call) {
  const int64_t n_tiles = (call.n_neurons + LANES - 1) / LANES;
  const int64_t n_threads = call.n_threads < n_tiles ? call.n_threads : n_tiles;
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < n_threads; t++) {
    const int64_t first = n_tiles * t / n_threads * LANES;
    const int64_t end = n_tiles * (t + 1) / n_threads * LANES;
    const int64_t stop = end < call.n_neurons ? end : call.n_neurons;
    const auto work = [&call, first, stop] { update_neurons(call, first, stop); };
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

// What native.py compares with its own.
extern "C" const int64_t call_size = sizeof(Call);

extern "C" void update(const Call* call) { update_all(*call); }
