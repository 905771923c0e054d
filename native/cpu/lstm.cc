// A layer of long short-term memory over a batch of sequences, forward and backward. The inputs' products are one large
// product; each step adds the recurrent one in registers and applies the gates there.
// Hochreiter and Schmidhuber 1997; gates i, f, g, o and packed lengths as in PyTorch's LSTM.
#include <algorithm>
#include <cstring>
#include <type_traits>

#include "vq/convolution.h"
#include "vq/op.h"
#include "vq/threads.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/lstm.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "cpu/simd_math-inl.h"

#ifndef VQ_LSTM_ONCE
#define VQ_LSTM_ONCE
namespace vq {

struct LstmSizes {
  int64_t batch, steps, inputs, hidden;
  bool reverse;
  const int32_t* lengths;  // or null: all steps
  // Steps are numbered in the order in which they are taken.
  int64_t time(int64_t step) const { return reverse ? steps - 1 - step : step; }
  bool active(int64_t row, int64_t step) const { return !lengths || time(step) < lengths[row]; }
};

// One step's arrays, [batch, hidden] each unless said otherwise.
struct LstmStep {
  int64_t step;
  float* gates;         // [batch, 4 hidden]: products with the inputs in, gates out
  const float* bias;    // [4 hidden] or null
  const float *h, *c;   // before
  float *next_h, *next_c;
  float* y;             // [batch, steps, hidden]
};
struct LstmStepBack {
  int64_t step;
  const float* gates;
  const float *c, *next_c;
  const float* dy;          // [batch, steps, hidden]
  const float* later;       // [batch, 4 hidden], gradient of the gates one step later, or null
  float *dh, *dc;           // in: carried past the later step; out: carried past this one
  float* dgates;            // [batch, 4 hidden]
};

}  // namespace vq
#endif  // VQ_LSTM_ONCE

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
namespace {
using namespace simd;

constexpr int kForwardRows = HWY_TARGET == HWY_AVX2 ? 2 : 6;  // times four vectors
constexpr int kBackRows = HWY_TARGET == HWY_AVX2 ? 5 : 12;    // times two vectors
constexpr int kBackWide = 2;

// acc += a·panel; rows of a are `stride` apart, the panel holds N vectors per step of the inner axis.
template <int R, int N>
HWY_INLINE void add_product(const float* a, int64_t stride, int64_t inner, const float* panel, VF (&acc)[R][N]) {
  const int64_t step = lanes();
  for (int64_t k = 0; k < inner; ++k, panel += N * step) {
    VF b[N];
#pragma GCC unroll 4
    for (int n = 0; n < N; ++n) b[n] = load(panel + n * step);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const VF v = set(a[r * stride + k]);
#pragma GCC unroll 4
      for (int n = 0; n < N; ++n) acc[r][n] = hn::MulAdd(v, b[n], acc[r][n]);
    }
  }
}

template <int R>
void forward_tile(const LstmSizes& s, const LstmStep& t, int64_t row, int64_t unit, const float* panel) {
  const int64_t hidden = s.hidden, k = std::min(lanes(), hidden - unit);
  VF acc[R][4];
  for (int r = 0; r < R; ++r)
    for (int g = 0; g < 4; ++g) {
      acc[r][g] = part(t.gates + (row + r) * 4 * hidden + g * hidden + unit, k);
      if (t.bias) acc[r][g] = hn::Add(acc[r][g], part(t.bias + g * hidden + unit, k));
    }
  add_product<R, 4>(t.h + row * hidden, hidden, hidden, panel, acc);
  for (int r = 0; r < R; ++r) {
    const int64_t at = (row + r) * hidden + unit;
    float* y = t.y + ((row + r) * s.steps + s.time(t.step)) * hidden + unit;
    if (!s.active(row + r, t.step)) {
      put_part(part(t.h + at, k), t.next_h + at, k);
      put_part(part(t.c + at, k), t.next_c + at, k);
      put_part(zero(), y, k);
      continue;
    }
    const VF i = sigmoid(acc[r][0]), f = sigmoid(acc[r][1]), g = tanh(acc[r][2]), o = sigmoid(acc[r][3]);
    const VF c = hn::MulAdd(f, part(t.c + at, k), hn::Mul(i, g)), h = hn::Mul(o, tanh(c));
    float* gates = t.gates + (row + r) * 4 * hidden + unit;
    put_part(i, gates, k);
    put_part(f, gates + hidden, k);
    put_part(g, gates + 2 * hidden, k);
    put_part(o, gates + 3 * hidden, k);
    put_part(c, t.next_c + at, k);
    put_part(h, t.next_h + at, k);
    put_part(h, y, k);
  }
}

// dh of `units` units from `unit` on, then the gates' gradients there; with dgates null only dh.
template <int R>
void back_tile(const LstmSizes& s, const LstmStepBack& t, int64_t row, int64_t unit, const float* panel) {
  const int64_t hidden = s.hidden, step = lanes();
  VF acc[R][kBackWide];
  for (int r = 0; r < R; ++r)
    for (int w = 0; w < kBackWide; ++w) {
      const int64_t k = std::min(step, hidden - unit - w * step);
      acc[r][w] = k > 0 ? part(t.dh + (row + r) * hidden + unit + w * step, k) : zero();
    }
  if (t.later) add_product<R, kBackWide>(t.later + row * 4 * hidden, 4 * hidden, 4 * hidden, panel, acc);
  for (int r = 0; r < R; ++r)
    for (int w = 0; w < kBackWide; ++w) {
      const int64_t u = unit + w * step, k = std::min(step, hidden - u);
      if (k <= 0) continue;
      const int64_t at = (row + r) * hidden + u;
      if (!t.dgates) {
        put_part(acc[r][w], t.dh + at, k);
        continue;
      }
      float* d = t.dgates + (row + r) * 4 * hidden + u;
      if (!s.active(row + r, t.step)) {  // the state went past this step as it was
        put_part(acc[r][w], t.dh + at, k);
        for (int g = 0; g < 4; ++g) put_part(zero(), d + g * hidden, k);
        continue;
      }
      const VF dh = hn::Add(acc[r][w], part(t.dy + ((row + r) * s.steps + s.time(t.step)) * hidden + u, k));
      const float* gates = t.gates + (row + r) * 4 * hidden + u;
      const VF i = part(gates, k), f = part(gates + hidden, k), g = part(gates + 2 * hidden, k), o = part(gates + 3 * hidden, k);
      const VF one = set(1.0f), squashed = tanh(part(t.next_c + at, k));
      const VF dc = hn::MulAdd(hn::Mul(dh, o), hn::NegMulAdd(squashed, squashed, one), part(t.dc + at, k));
      put_part(hn::Mul(hn::Mul(dc, g), hn::Mul(i, hn::Sub(one, i))), d, k);
      put_part(hn::Mul(hn::Mul(dc, part(t.c + at, k)), hn::Mul(f, hn::Sub(one, f))), d + hidden, k);
      put_part(hn::Mul(hn::Mul(dc, i), hn::NegMulAdd(g, g, one)), d + 2 * hidden, k);
      put_part(hn::Mul(hn::Mul(dh, squashed), hn::Mul(o, hn::Sub(one, o))), d + 3 * hidden, k);
      put_part(hn::Mul(dc, f), t.dc + at, k);
      put_part(zero(), t.dh + at, k);
    }
}

// Calls tile<R>(row) over all rows, as many at a time as fit the registers.
template <int R, class Tile>
HWY_INLINE void over_rows(int64_t row, int64_t rows, const Tile& tile) {
  for (; row + R <= rows; row += R) tile(std::integral_constant<int, R>(), row);
  if constexpr (R > 1) {
    if (row < rows) over_rows<(R > 6 ? 6 : R > 3 ? 3 : 1)>(row, rows, tile);
  }
}

}  // namespace

int64_t lstm_panel_units(bool backward) { return lanes() * (backward ? kBackWide : 1); }

// Panel `p` of the recurrent weights [hidden, 4 hidden], forward: the four gates of a vector of units, all inner steps.
void lstm_pack(const float* w, int64_t hidden, bool backward, int64_t p, float* out) {
  const int64_t step = lanes(), units = lstm_panel_units(backward), first = p * units;
  if (!backward) {
    for (int64_t k = 0; k < hidden; ++k)
      for (int64_t g = 0; g < 4; ++g)
        for (int64_t l = 0; l < step; ++l)
          *out++ = first + l < hidden ? w[k * 4 * hidden + g * hidden + first + l] : 0.0f;
  } else {
    for (int64_t j = 0; j < 4 * hidden; ++j)
      for (int64_t l = 0; l < units; ++l) *out++ = first + l < hidden ? w[(first + l) * 4 * hidden + j] : 0.0f;
  }
}

void lstm_forward_panel(const LstmSizes& s, const LstmStep& t, int64_t p, const float* panel) {
  const int64_t unit = p * lanes();
  over_rows<kForwardRows>(0, s.batch, [&](auto r, int64_t row) HWY_ATTR { forward_tile<decltype(r)::value>(s, t, row, unit, panel); });
}
void lstm_back_panel(const LstmSizes& s, const LstmStepBack& t, int64_t p, const float* panel) {
  const int64_t unit = p * lanes() * kBackWide;
  over_rows<kBackRows>(0, s.batch, [&](auto r, int64_t row) HWY_ATTR { back_tile<decltype(r)::value>(s, t, row, unit, panel); });
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(lstm_panel_units);
HWY_EXPORT(lstm_pack);
HWY_EXPORT(lstm_forward_panel);
HWY_EXPORT(lstm_back_panel);
namespace {

LstmSizes sizes(Args& args) {
  LstmSizes s{};
  for (int64_t* field : {&s.batch, &s.steps, &s.inputs, &s.hidden}) *field = args.integer();
  s.reverse = args.flag();
  s.lengths = args.optional<int32_t>(s.batch);
  return s;
}

// [batch, steps, width] to or from [steps in the order taken, batch, width]; what stands behind a sequence's end is 0, so that
// padding of any value changes nothing.
void reorder(Context& ctx, const LstmSizes& s, int64_t width, const float* from, float* to, bool back) {
  if (width == 0) return;
  parallel_for(s.steps, std::max<int64_t>(1, (1 << 14) / (s.batch * width + 1)), ctx.threads, [&](int64_t b, int64_t e) {
    for (int64_t t = b; t < e; ++t)
      for (int64_t n = 0; n < s.batch; ++n) {
        const int64_t plain = (n * s.steps + s.time(t)) * width, taken = (t * s.batch + n) * width;
        float* out = to + (back ? plain : taken);
        if (s.active(n, t)) std::memcpy(out, from + (back ? taken : plain), width * sizeof(float));
        else std::fill(out, out + width, 0.0f);
      }
  });
}

// Packed recurrent weights: one panel after another.
struct Panels {
  int64_t count, floats;
  float* data;
  Panels(Context& ctx, const float* w, int64_t hidden, bool backward, float* room) : data(room) {
    const int64_t units = HWY_DYNAMIC_DISPATCH(lstm_panel_units)(backward);
    count = (hidden + units - 1) / units;
    floats = size_of_one(hidden, backward);
    parallel_for(count, 1, ctx.threads, [&](int64_t b, int64_t e) {
      for (int64_t p = b; p < e; ++p) HWY_DYNAMIC_DISPATCH(lstm_pack)(w, hidden, backward, p, data + p * floats);
    });
  }
  static int64_t size_of_one(int64_t hidden, bool backward) {
    return 4 * hidden * HWY_DYNAMIC_DISPATCH(lstm_panel_units)(backward);
  }
  static int64_t size(int64_t hidden, bool backward) {
    const int64_t units = HWY_DYNAMIC_DISPATCH(lstm_panel_units)(backward);
    return (hidden + units - 1) / units * size_of_one(hidden, backward);
  }
  const float* at(int64_t p) const { return data + p * floats; }
};

// Panels each thread should take at least.
int64_t grain(const LstmSizes& s, int64_t floats) { return std::max<int64_t>(1, (1 << 16) / (s.batch * floats + 1)); }

}  // namespace

// Arguments: batch, steps, inputs, hidden, reverse, lengths or -1, x [batch, steps, inputs], kernel [inputs, 4 hidden],
// recurrent [hidden, 4 hidden], bias or -1, first h or -1, first c or -1, y [batch, steps, hidden], gates
// [steps, batch, 4 hidden], states and cells [steps + 1, batch, hidden] with the first state in front, last h, last c.
VQ_OP(Lstm) {
  const LstmSizes s = sizes(args);
  const int64_t rows = s.batch * s.steps, hidden = s.hidden, each = s.batch * hidden;
  const float *x = args.tensor<float>(rows * s.inputs), *kernel = args.tensor<float>(s.inputs * 4 * hidden);
  const float *recurrent = args.tensor<float>(hidden * 4 * hidden), *bias = args.optional<float>(4 * hidden);
  const float *h0 = args.optional<float>(each), *c0 = args.optional<float>(each);
  float *y = args.tensor<float>(rows * hidden), *gates = args.tensor<float>(rows * 4 * hidden);
  float *states = args.tensor<float>(each * (s.steps + 1)), *cells = args.tensor<float>(each * (s.steps + 1));
  float *hn = args.tensor<float>(each), *cn = args.tensor<float>(each);
  if (h0) std::copy(h0, h0 + each, states);
  else std::fill(states, states + each, 0.0f);
  if (c0) std::copy(c0, c0 + each, cells);
  else std::fill(cells, cells + each, 0.0f);
  if (rows * hidden == 0) {
    std::copy(states, states + each, hn);
    std::copy(cells, cells + each, cn);
    return;
  }
  const int64_t packed = Panels::size(hidden, false);
  float* room = static_cast<float*>(args.ctx.scratch((packed + rows * s.inputs) * sizeof(float)));
  reorder(args.ctx, s, s.inputs, x, room + packed, false);
  if (s.inputs > 0) matrix_product(args.ctx, false, false, rows, 4 * hidden, s.inputs, room + packed, kernel, gates);
  else std::fill(gates, gates + rows * 4 * hidden, 0.0f);
  const Panels panels(args.ctx, recurrent, hidden, false, room);
  for (int64_t t = 0; t < s.steps; ++t) {
    const LstmStep step{t, gates + t * 4 * each, bias, states + t * each, cells + t * each, states + (t + 1) * each,
                        cells + (t + 1) * each, y};
    parallel_for(panels.count, grain(s, panels.floats), args.ctx.threads, [&](int64_t b, int64_t e) {
      for (int64_t p = b; p < e; ++p) HWY_DYNAMIC_DISPATCH(lstm_forward_panel)(s, step, p, panels.at(p));
    });
  }
  std::copy(states + s.steps * each, states + (s.steps + 1) * each, hn);
  std::copy(cells + s.steps * each, cells + (s.steps + 1) * each, cn);
}

// Arguments: batch, steps, inputs, hidden, reverse, lengths or -1, x, kernel, recurrent, gates, states, cells, dy, gradients
// of the last h and c, gradients of the first h and c, dx, dkernel, drecurrent, dbias or -1.
VQ_OP(LstmGrad) {
  const LstmSizes s = sizes(args);
  const int64_t rows = s.batch * s.steps, hidden = s.hidden, each = s.batch * hidden;
  const float *x = args.tensor<float>(rows * s.inputs), *kernel = args.tensor<float>(s.inputs * 4 * hidden);
  const float* recurrent = args.tensor<float>(hidden * 4 * hidden);
  const float* gates = args.tensor<float>(rows * 4 * hidden);
  const float *states = args.tensor<float>(each * (s.steps + 1)), *cells = args.tensor<float>(each * (s.steps + 1));
  const float* dy = args.tensor<float>(rows * hidden);
  const float *dhn = args.tensor<float>(each), *dcn = args.tensor<float>(each);
  float *dh = args.tensor<float>(each), *dc = args.tensor<float>(each);
  float *dx = args.tensor<float>(rows * s.inputs), *dkernel = args.tensor<float>(s.inputs * 4 * hidden);
  float *drecurrent = args.tensor<float>(hidden * 4 * hidden), *dbias = args.optional<float>(4 * hidden);
  std::copy(dhn, dhn + each, dh);
  std::copy(dcn, dcn + each, dc);
  if (rows * hidden == 0) {
    std::fill(dx, dx + rows * s.inputs, 0.0f);
    std::fill(dkernel, dkernel + s.inputs * 4 * hidden, 0.0f);
    std::fill(drecurrent, drecurrent + hidden * 4 * hidden, 0.0f);
    if (dbias) std::fill(dbias, dbias + 4 * hidden, 0.0f);
    return;
  }
  const int64_t packed = Panels::size(hidden, true), turned = (rows * s.inputs + 15) / 16 * 16;
  float* room = static_cast<float*>(args.ctx.scratch((packed + turned + rows * 4 * hidden) * sizeof(float)));
  float *ordered = room + packed, *dgates = ordered + turned;
  const Panels panels(args.ctx, recurrent, hidden, true, room);
  for (int64_t t = s.steps - 1; t >= -1; --t) {
    // Step −1 only carries the gradient on to the first state.
    LstmStepBack step{t, nullptr, nullptr, nullptr, dy, t + 1 < s.steps ? dgates + (t + 1) * 4 * each : nullptr, dh, dc, nullptr};
    if (t >= 0) {
      step.gates = gates + t * 4 * each;
      step.c = cells + t * each;
      step.next_c = cells + (t + 1) * each;
      step.dgates = dgates + t * 4 * each;
    }
    parallel_for(panels.count, grain(s, panels.floats), args.ctx.threads, [&](int64_t b, int64_t e) {
      for (int64_t p = b; p < e; ++p) HWY_DYNAMIC_DISPATCH(lstm_back_panel)(s, step, p, panels.at(p));
    });
  }
  matrix_product(args.ctx, true, false, hidden, 4 * hidden, rows, states, dgates, drecurrent);
  if (dbias) {
    constexpr int64_t kSlice = 64;
    parallel_for((4 * hidden + kSlice - 1) / kSlice, 1, args.ctx.threads, [&](int64_t b, int64_t e) {
      for (int64_t k = b * kSlice; k < std::min(4 * hidden, e * kSlice); k += kSlice) {
        const int64_t width = std::min(kSlice, 4 * hidden - k);
        double total[kSlice] = {};
        for (int64_t r = 0; r < rows; ++r)
          for (int64_t j = 0; j < width; ++j) total[j] += dgates[r * 4 * hidden + k + j];
        for (int64_t j = 0; j < width; ++j) dbias[k + j] = static_cast<float>(total[j]);
      }
    });
  }
  if (s.inputs == 0) return;
  reorder(args.ctx, s, s.inputs, x, ordered, false);
  matrix_product(args.ctx, true, false, s.inputs, 4 * hidden, rows, ordered, dgates, dkernel);
  matrix_product(args.ctx, false, true, rows, s.inputs, 4 * hidden, dgates, kernel, ordered);
  reorder(args.ctx, s, s.inputs, ordered, dx, true);
}

}  // namespace vq
#endif  // HWY_ONCE
