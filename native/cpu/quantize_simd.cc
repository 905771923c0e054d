// The inner loops with Highway, compiled once per instruction set. Lanes hold codes (or rows), never parts of one sum,
// so every width adds in the contract's order.
#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu/code_filter.h"
#include "cpu/quantize_kernels.h"
#include "vq/scratch.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/quantize_simd.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#if HWY_TARGET != HWY_EMU128 && HWY_TARGET != HWY_SCALAR
HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using F = hn::ScalableTag<float>;
using I = hn::ScalableTag<int32_t>;
using F4 = hn::FixedTag<float, 4>;
using VF = hn::Vec<F>;
using VI = hn::Vec<I>;
using V4 = hn::Vec<F4>;

constexpr int kLanes = HWY_MAX_BYTES / sizeof(float);
constexpr int kWide = 2;                                       // vectors of codes per panel
constexpr int kPanel = kWide * kLanes;
constexpr int kRows = HWY_TARGET == HWY_AVX2 ? 6 : 12;  // rows x kWide accumulators fill the registers
#define HIDE(pointer) asm("" : "+r"(pointer))  // the compiler may not merge it with others
constexpr float kInf = std::numeric_limits<float>::infinity();

// Four vectors holding elements d..d+3 of kLanes rows, one row per lane.
struct Four {
  VF v[4];
};
HWY_INLINE VF join(const float* const* rows, int i, int64_t d) {
  const F4 f4;
#if HWY_MAX_BYTES == 16
  return hn::LoadU(f4, rows[i] + d);
#else
  const hn::FixedTag<float, 8> f8;
  const auto low = hn::Combine(f8, hn::LoadU(f4, rows[i + 4] + d), hn::LoadU(f4, rows[i] + d));
#if HWY_MAX_BYTES == 32
  return low;
#else
  const auto high = hn::Combine(f8, hn::LoadU(f4, rows[i + 12] + d), hn::LoadU(f4, rows[i + 8] + d));
  return hn::Combine(F(), high, low);
#endif
#endif
}
HWY_INLINE Four load_four(const float* const* rows, int64_t d) {
  const F f;
  const hn::RepartitionToWide<F> wide;  // pairs of floats
  const VF r0 = join(rows, 0, d), r1 = join(rows, 1, d), r2 = join(rows, 2, d), r3 = join(rows, 3, d);
  const auto lo01 = hn::BitCast(wide, hn::InterleaveLower(f, r0, r1));
  const auto hi01 = hn::BitCast(wide, hn::InterleaveUpper(f, r0, r1));
  const auto lo23 = hn::BitCast(wide, hn::InterleaveLower(f, r2, r3));
  const auto hi23 = hn::BitCast(wide, hn::InterleaveUpper(f, r2, r3));
  return {{hn::BitCast(f, hn::InterleaveLower(wide, lo01, lo23)), hn::BitCast(f, hn::InterleaveUpper(wide, lo01, lo23)),
           hn::BitCast(f, hn::InterleaveLower(wide, hi01, hi23)), hn::BitCast(f, hn::InterleaveUpper(wide, hi01, hi23))}};
}
HWY_INLINE VF load_one(const float* const* rows, int64_t d) {
  HWY_ALIGN float lane[kLanes];
  for (int i = 0; i < kLanes; ++i) lane[i] = rows[i][d];
  return hn::Load(F(), lane);
}

void pack(const float* codes, int64_t k, int64_t dim, int64_t first, bool half_norm, float* out, float* bias) {
  const F f;
  for (int w = 0; w < kWide; ++w) {
    const float* rows[kLanes];
    for (int i = 0; i < kLanes; ++i) rows[i] = codes + std::min<int64_t>(first + w * kLanes + i, k - 1) * dim;
    VF norm = hn::Zero(f);
    float* to = out + w * kLanes;
    int64_t d = 0;
    for (; d + 4 <= dim; d += 4) {
      const Four e = load_four(rows, d);
      for (int j = 0; j < 4; ++j) {
        hn::Store(e.v[j], f, to + (d + j) * kPanel);
        norm = hn::MulAdd(e.v[j], e.v[j], norm);
      }
    }
    for (; d < dim; ++d) {
      const VF e = load_one(rows, d);
      hn::Store(e, f, to + d * kPanel);
      norm = hn::MulAdd(e, e, norm);
    }
    hn::Store(half_norm ? hn::Mul(norm, hn::Set(f, 0.5f)) : hn::Zero(f), f, bias + w * kLanes);
    for (int i = 0; i < kLanes; ++i)
      if (first + w * kLanes + i >= k) bias[w * kLanes + i] = kInf;
  }
}

// Scores of R rows against one panel, in registers.
template <int R>
struct Tile {
  VF acc[R][kWide];
};
// Adds `steps` elements of every row (rows are `stride` apart) to the tile.
template <int R, bool kFetch = false>
HWY_INLINE void add_products(const float* HWY_RESTRICT x, int64_t stride, int64_t steps,
                             const float* HWY_RESTRICT panel, Tile<R>& t) {
  const F f;
  // One pointer for every three rows: the others are reached by an index register, so that no pointer is spilled.
  constexpr int kGroups = (R + 2) / 3;
  const float* group[kGroups];
#pragma GCC unroll 16
  for (int g = 0; g < kGroups; ++g) {
    group[g] = x + 3 * g * stride;
    HIDE(group[g]);
  }
  for (const float* end = panel + steps * kPanel; panel != end; panel += kPanel) {
    VF e[kWide];
#pragma GCC unroll 4
    for (int w = 0; w < kWide; ++w) {
      e[w] = hn::Load(f, panel + w * kLanes);
      if (kFetch) __builtin_prefetch(panel + 12 * kPanel + w * kLanes);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const VF v = hn::Set(f, group[r / 3][r % 3 * stride]);
#pragma GCC unroll 4
      for (int w = 0; w < kWide; ++w) t.acc[r][w] = hn::NegMulAdd(v, e[w], t.acc[r][w]);
    }
#pragma GCC unroll 16
    for (int g = 0; g < kGroups; ++g) {
      ++group[g];
      HIDE(group[g]);
    }
  }
}

template <int R>
HWY_INLINE void start_tile(const float* bias, Tile<R>& t) {
  const F f;
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int w = 0; w < kWide; ++w) t.acc[r][w] = hn::Load(f, bias + w * kLanes);
}

// What of a panel a tile of rows meets at once: a part of its elements, so that it stays in the first-level cache. The
// sums wait in `partial` between parts.
struct Part {
  int64_t stride, steps;
  bool first, last;
  const float *panel, *bias;
  int32_t vector;
};

template <int R, bool kFetch = false>
HWY_INLINE void assign_tile(const float* x, const Part& part, float* partial, float* best, int32_t* arg) {
  const F f;
  const I i32;
  Tile<R> t;
  if (part.first) {
    start_tile(part.bias, t);
  } else {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int w = 0; w < kWide; ++w) t.acc[r][w] = hn::Load(f, partial + (r * kWide + w) * kLanes);
  }
  add_products<R, kFetch>(x, part.stride, part.steps, part.panel, t);
  if (!part.last) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int w = 0; w < kWide; ++w) hn::Store(t.acc[r][w], f, partial + (r * kWide + w) * kLanes);
    return;
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    VF b = hn::Load(f, best + r * kLanes);
    VI a = hn::Load(i32, arg + r * kLanes);
#pragma GCC unroll 4
    for (int w = 0; w < kWide; ++w) {
      const auto less = hn::Lt(t.acc[r][w], b);
      b = hn::IfThenElse(less, t.acc[r][w], b);
      a = hn::IfThenElse(hn::RebindMask(i32, less), hn::Set(i32, part.vector + w), a);
    }
    hn::Store(b, f, best + r * kLanes);
    hn::Store(a, i32, arg + r * kLanes);
  }
}

constexpr int64_t kPart = 160;  // elements: 20 KB of a panel at 16 lanes, beside 8 KB of rows

void assign(const float* x, int64_t n, int64_t dim, const float* packed, const float* bias, int64_t panels,
            float* best, int32_t* arg, float* partial, int32_t* codes, float* scores) {
  const F f;
  const I i32;
  const bool fetch = panels >= 8;  // measured: with few panels, fetching ahead in them costs more than it saves
  const int64_t parts = (dim + kPart - 1) / kPart, step = (dim + parts - 1) / parts;
  std::fill(best, best + n * kLanes, kInf);
  std::fill(arg, arg + n * kLanes, 0);
  for (int64_t p = 0; p < panels; ++p)
    for (int64_t d = 0; d < dim; d += step) {
      const Part part = {dim,
                         std::min(step, dim - d),
                         d == 0,
                         d + step >= dim,
                         packed + (p * dim + d) * kPanel,
                         bias + p * kPanel,
                         static_cast<int32_t>(p * kWide)};
      const float* rows = x + d;
      int64_t r = 0;
      for (; r + kRows <= n; r += kRows) {
        // The first panel meets the rows in memory, every later one finds them in the cache.
        if (p == 0)
          for (int64_t i = kRows; i < 2 * kRows; ++i)
            for (int64_t e = 0; e < part.steps; e += 16) __builtin_prefetch(rows + (r + i) * dim + e);
        if (fetch)
          assign_tile<kRows, true>(rows + r * dim, part, partial + r * kPanel, best + r * kLanes, arg + r * kLanes);
        else
          assign_tile<kRows>(rows + r * dim, part, partial + r * kPanel, best + r * kLanes, arg + r * kLanes);
      }
      for (; r + 4 <= n; r += 4)
        assign_tile<4>(rows + r * dim, part, partial + r * kPanel, best + r * kLanes, arg + r * kLanes);
      for (; r < n; ++r)
        assign_tile<1>(rows + r * dim, part, partial + r * kPanel, best + r * kLanes, arg + r * kLanes);
    }
  const VI iota = hn::Iota(i32, 0), none = hn::Set(i32, std::numeric_limits<int32_t>::max());
  for (int64_t r = 0; r < n; ++r) {
    const VF b = hn::Load(f, best + r * kLanes);
    const VF least = hn::MinOfLanes(f, b);
    const VI code = hn::Add(hn::Mul(hn::Load(i32, arg + r * kLanes), hn::Set(i32, kLanes)), iota);
    const VI tied = hn::IfThenElse(hn::RebindMask(i32, hn::Eq(b, least)), code, none);
    codes[r] = hn::GetLane(hn::MinOfLanes(i32, tied));
    scores[r] = hn::GetLane(least);
  }
}

constexpr int kChunk = 8;  // panels whose scores are kept at a time

// Puts the smallest of `count` vectors of scores into the row's list. Lane minima bound the last place first, so that few
// scores are ever looked at one by one.
HWY_INLINE void select(const float* HWY_RESTRICT from, int count, int32_t code, int most, float* scores, int32_t* codes,
                       int32_t& found) {
  const F f;
  float limit = found < most ? kInf : scores[most - 1];
  VF least = hn::Set(f, limit);
  for (int v = 0; v < count; ++v) {
    const VF s = hn::Load(f, from + v * kLanes);
    least = hn::IfThenElse(hn::Lt(s, least), s, least);
  }
  // With `most` lanes below it, nothing above this bound can get in. (Fewer lanes than places: no bound.)
  VF bound = hn::Set(f, kInf);
  for (int i = 0; i < most && most <= kLanes; ++i) {
    bound = hn::MinOfLanes(f, least);
    least = hn::IfThenElse(hn::Eq(least, bound), hn::Set(f, kInf), least);
  }
  for (int v = 0; v < count; ++v) {
    const VF s = hn::Load(f, from + v * kLanes);
    const auto may = hn::And(hn::Le(s, bound), hn::Lt(s, hn::Set(f, limit)));
    if (HWY_LIKELY(hn::AllFalse(f, may))) continue;
    uint8_t bits[8] = {};
    hn::StoreMaskBits(f, may, bits);
    for (uint32_t m = bits[0] | (static_cast<uint32_t>(bits[1]) << 8); m; m &= m - 1) {
      const int i = __builtin_ctz(m);
      const float value = from[v * kLanes + i];
      if (!(value < limit)) continue;
      insert_top(value, code + v * kLanes + i, most, scores, codes, found);
      limit = found < most ? kInf : scores[most - 1];
    }
  }
}

template <int R>
HWY_INLINE void top_tile(const float* x, int64_t dim, const float* panel, const float* bias, int panels, int32_t code,
                         int most, float* scores, int32_t* codes, int32_t* counts, float* buffer) {
  const F f;
  constexpr int kStride = kChunk * kPanel;
  for (int p = 0; p < panels; ++p) {
    Tile<R> t;
    start_tile(bias + p * kPanel, t);
    add_products<R>(x, dim, dim, panel + p * kPanel * dim, t);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
      for (int w = 0; w < kWide; ++w) hn::Store(t.acc[r][w], f, buffer + r * kStride + p * kPanel + w * kLanes);
  }
  for (int r = 0; r < R; ++r)
    select(buffer + r * kStride, panels * kWide, code, most, scores + r * most, codes + r * most, counts[r]);
}

void top(const float* x, int64_t n, int64_t dim, const float* packed, const float* bias, int64_t panels, int most,
         float* scores, int32_t* codes, int32_t* counts) {
  HWY_ALIGN float buffer[kRows * kChunk * kPanel];
  std::fill(counts, counts + n, 0);
  for (int64_t p = 0; p < panels; p += kChunk) {
    const int some = static_cast<int>(std::min<int64_t>(kChunk, panels - p));
    const float* panel = packed + p * kPanel * dim;
    const float* b = bias + p * kPanel;
    const int32_t code = static_cast<int32_t>(p * kPanel);
    int64_t r = 0;
    for (; r + kRows <= n; r += kRows)
      top_tile<kRows>(x + r * dim, dim, panel, b, some, code, most, scores + r * most, codes + r * most, counts + r,
                      buffer);
    for (; r < n; ++r)
      top_tile<1>(x + r * dim, dim, panel, b, some, code, most, scores + r * most, codes + r * most, counts + r, buffer);
  }
}

// G groups of kLanes rows side by side: one group alone would wait for its own additions.
enum Against { kNothing, kPairs, kOne };
template <int G, Against kOther>
HWY_INLINE void squared_groups(const float* const* a, const float* const* b, int64_t n, int64_t dim, float* out) {
  const F f;
  const float *ra[G * kLanes], *rb[G * kLanes];
  for (int64_t l = 0; l < G * kLanes; ++l) {
    ra[l] = a[std::min<int64_t>(l, n - 1)];
    if (kOther == kPairs) rb[l] = b[std::min<int64_t>(l, n - 1)];
  }
  VF s[G];
  for (int g = 0; g < G; ++g) s[g] = hn::Zero(f);
  int64_t d = 0;
  for (; d + 4 <= dim; d += 4) {
    if (d % 16 == 0)  // so many rows at once are more than the hardware fetches ahead
      for (int l = 0; l < G * kLanes; ++l) __builtin_prefetch(ra[l] + d + 32);
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      Four v = load_four(ra + g * kLanes, d);
      if (kOther == kPairs) {
        const Four u = load_four(rb + g * kLanes, d);
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) v.v[j] = hn::Sub(v.v[j], u.v[j]);
      } else if (kOther == kOne) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) v.v[j] = hn::Sub(v.v[j], hn::Set(f, b[0][d + j]));
      }
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) s[g] = hn::MulAdd(v.v[j], v.v[j], s[g]);
    }
  }
  for (; d < dim; ++d)
    for (int g = 0; g < G; ++g) {
      VF v = load_one(ra + g * kLanes, d);
      if (kOther == kPairs) v = hn::Sub(v, load_one(rb + g * kLanes, d));
      if (kOther == kOne) v = hn::Sub(v, hn::Set(f, b[0][d]));
      s[g] = hn::MulAdd(v, v, s[g]);
    }
  HWY_ALIGN float lane[G * kLanes];
  for (int g = 0; g < G; ++g) hn::Store(s[g], f, lane + g * kLanes);
  std::copy_n(lane, std::min<int64_t>(n, G * kLanes), out);
}

template <Against kOther>
HWY_INLINE void squared_rows(const float* const* a, const float* const* b, int64_t n, int64_t dim, float* out) {
  for (int64_t i = 0; i < n;) {
    const float* const* bi = kOther == kPairs ? b + i : b;
    if (n - i > kLanes) {
      squared_groups<2, kOther>(a + i, bi, n - i, dim, out + i);
      i += 2 * kLanes;
    } else {
      squared_groups<1, kOther>(a + i, bi, n - i, dim, out + i);
      i += kLanes;
    }
  }
}

void squared(const float* const* a, const float* const* b, int64_t n, int64_t dim, float* out) {
  if (b) squared_rows<kPairs>(a, b, n, dim, out);
  else squared_rows<kNothing>(a, b, n, dim, out);
}

void squared_to(const float* const* a, const float* c, int64_t n, int64_t dim, float* out) {
  squared_rows<kOne>(a, &c, n, dim, out);
}

template <int G>
HWY_INLINE void score_groups(const float* const* a, const float* const* b, const float* start, int64_t n, int64_t dim,
                             float* out, float* norms) {
  const F f;
  const float *ra[G * kLanes], *rb[G * kLanes];
  HWY_ALIGN float lane[G * kLanes];
  for (int64_t l = 0; l < G * kLanes; ++l) {
    const int64_t i = std::min<int64_t>(l, n - 1);
    ra[l] = a[i], rb[l] = b[i], lane[l] = start[i];
  }
  VF s[G], norm[G];
  for (int g = 0; g < G; ++g) s[g] = hn::Load(f, lane + g * kLanes), norm[g] = hn::Zero(f);
  int64_t d = 0;
  for (; d + 4 <= dim; d += 4)
#pragma GCC unroll 4
    for (int g = 0; g < G; ++g) {
      const Four v = load_four(ra + g * kLanes, d), e = load_four(rb + g * kLanes, d);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        s[g] = hn::NegMulAdd(v.v[j], e.v[j], s[g]);
        norm[g] = hn::MulAdd(v.v[j], v.v[j], norm[g]);
      }
    }
  for (; d < dim; ++d)
    for (int g = 0; g < G; ++g) {
      const VF v = load_one(ra + g * kLanes, d);
      s[g] = hn::NegMulAdd(v, load_one(rb + g * kLanes, d), s[g]);
      norm[g] = hn::MulAdd(v, v, norm[g]);
    }
  const int64_t count = std::min<int64_t>(n, G * kLanes);
  for (int g = 0; g < G; ++g) hn::Store(s[g], f, lane + g * kLanes);
  std::copy_n(lane, count, out);
  if (!norms) return;
  for (int g = 0; g < G; ++g) hn::Store(norm[g], f, lane + g * kLanes);
  std::copy_n(lane, count, norms);
}

void scores(const float* const* a, const float* const* b, const float* start, int64_t n, int64_t dim, float* out,
            float* norms) {
  for (int64_t i = 0; i < n;) {
    float* to = norms ? norms + i : nullptr;
    if (n - i > kLanes) {
      score_groups<2>(a + i, b + i, start + i, n - i, dim, out + i, to);
      i += 2 * kLanes;
    } else {
      score_groups<1>(a + i, b + i, start + i, n - i, dim, out + i, to);
      i += kLanes;
    }
  }
}

template <int W>
HWY_INLINE void add_columns(const float* x, const int32_t* rows, int64_t count, int64_t dim, float* sum) {
  const F f;
  VF acc[W];
  for (int w = 0; w < W; ++w) acc[w] = hn::LoadU(f, sum + w * kLanes);
  for (int64_t i = 0; i < count; ++i) {
    const float* row = x + static_cast<int64_t>(rows[i]) * dim;
    for (int w = 0; w < W; ++w) acc[w] = hn::Add(acc[w], hn::LoadU(f, row + w * kLanes));
  }
  for (int w = 0; w < W; ++w) hn::StoreU(acc[w], f, sum + w * kLanes);
}

void add_rows(const float* x, const int32_t* rows, int64_t count, int64_t dim, float* sum) {
  int64_t d = 0;
  for (; d + 8 * kLanes <= dim; d += 8 * kLanes) add_columns<8>(x + d, rows, count, dim, sum + d);
  for (; d + 4 * kLanes <= dim; d += 4 * kLanes) add_columns<4>(x + d, rows, count, dim, sum + d);
  for (; d + kLanes <= dim; d += kLanes) add_columns<1>(x + d, rows, count, dim, sum + d);
  for (; d < dim; ++d)
    for (int64_t i = 0; i < count; ++i) sum[d] += x[static_cast<int64_t>(rows[i]) * dim + d];
}

using D = hn::ScalableTag<double>;
using Half = hn::Rebind<float, D>;
constexpr int kDoubles = HWY_MAX_BYTES / sizeof(double);
constexpr int kGroup = kSpreadLanes / kDoubles;  // vectors that make up the 16 virtual lanes

void add_rows_spread(const float* x, const int32_t* rows, int64_t count, int64_t dim, const float* weights,
                     const int32_t* codes, const float* centres, double* sums, double* lanes) {
  const D dd;
  const Half half;
  constexpr int64_t kAhead = 8;
  const int64_t whole = dim / kSpreadLanes * kSpreadLanes, lines = std::min<int64_t>(dim, 256);
  for (int64_t i = 0; i < count; ++i) {
    if (i + kAhead < count) {
      const float* ahead = x + static_cast<int64_t>(rows[i + kAhead]) * dim;
      for (int64_t d = 0; d < lines; d += 16) __builtin_prefetch(ahead + d);
    }
    const int64_t k = codes[rows[i]];
    const float *row = x + static_cast<int64_t>(rows[i]) * dim, *centre = centres + k * dim;
    double *sum = sums + k * dim, *lane = lanes + k * 2 * kSpreadLanes, *tail = lane + kSpreadLanes;
    const double weight = weights ? weights[rows[i]] : 1.0;
    const auto w = hn::Set(dd, weight);
    hn::Vec<D> spread[kGroup];
    for (int g = 0; g < kGroup; ++g) spread[g] = hn::LoadU(dd, lane + g * kDoubles);
    for (int64_t d = 0; d < whole; d += kSpreadLanes)
      for (int g = 0; g < kGroup; ++g) {
        const int64_t at = d + g * kDoubles;
        const auto v = hn::PromoteTo(dd, hn::LoadU(half, row + at));
        const auto t = hn::Sub(v, hn::PromoteTo(dd, hn::LoadU(half, centre + at)));
        hn::StoreU(hn::MulAdd(w, v, hn::LoadU(dd, sum + at)), dd, sum + at);
        spread[g] = hn::MulAdd(hn::Mul(w, t), t, spread[g]);
      }
    for (int g = 0; g < kGroup; ++g) hn::StoreU(spread[g], dd, lane + g * kDoubles);
    for (int64_t d = whole; d < dim; ++d) {
      const double v = row[d], t = v - static_cast<double>(centre[d]);
      sum[d] = std::fma(weight, v, sum[d]);
      tail[d - whole] = std::fma(weight * t, t, tail[d - whole]);
    }
  }
}

// Columns of a weight, `pitch` floats from one input to the next, and where their outputs go. Of the last vector `held`
// outputs are wanted; weight and bias hold whole vectors.
struct Columns {
  const float *w, *bias;
  int64_t in, pitch, out;
  int held;
};
template <int R, int kVectors>
HWY_INLINE void linear_tile(const float* HWY_RESTRICT x, const Columns& c, float* HWY_RESTRICT y) {
  const F f;
  VF acc[R][kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v) {
    const VF start = c.bias ? hn::LoadU(f, c.bias + v * kLanes) : hn::Zero(f);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) acc[r][v] = start;
  }
  const float* HWY_RESTRICT w = c.w;
  for (int64_t d = 0; d < c.in; ++d, w += c.pitch) {
    VF e[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) e[v] = hn::LoadU(f, w + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const VF one = hn::Set(f, x[r * c.in + d]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[r][v] = hn::MulAdd(one, e[v], acc[r][v]);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v + 1 < kVectors; ++v) hn::StoreU(acc[r][v], f, y + r * c.out + v * kLanes);
    float* last = y + r * c.out + (kVectors - 1) * kLanes;
    if (HWY_LIKELY(c.held == kLanes)) {
      hn::StoreU(acc[r][kVectors - 1], f, last);
      continue;
    }
    HWY_ALIGN float lane[kLanes];
    hn::Store(acc[r][kVectors - 1], f, lane);
    std::copy(lane, lane + c.held, last);
  }
}

template <int kVectors>
HWY_INLINE void linear_columns(const float* x, int64_t n, const Columns& c, float* y) {
  int64_t i = 0;
  for (; i + kRows <= n; i += kRows) linear_tile<kRows, kVectors>(x + i * c.in, c, y + i * c.out);
  for (; i + 4 <= n; i += 4) linear_tile<4, kVectors>(x + i * c.in, c, y + i * c.out);
  for (; i < n; ++i) linear_tile<1, kVectors>(x + i * c.in, c, y + i * c.out);
}

void linear(const float* x, int64_t n, int64_t in, const float* w, int64_t out, const float* bias, float* y) {
  int64_t o = 0;
  for (; o + kPanel <= out; o += kPanel)
    linear_columns<kWide>(x, n, {w + o, bias ? bias + o : nullptr, in, out, out, kLanes}, y + o);
  for (; o + kLanes <= out; o += kLanes)
    linear_columns<1>(x, n, {w + o, bias ? bias + o : nullptr, in, out, out, kLanes}, y + o);
  if (o == out) return;
  const int held = static_cast<int>(out - o);
  Scratch<float> padded(static_cast<size_t>((in + 1) * kLanes));
  std::fill_n(padded.data(), (in + 1) * kLanes, 0.0f);
  for (int64_t d = 0; d < in; ++d) std::copy_n(w + d * out + o, held, padded.data() + d * kLanes);
  float* last = padded.data() + in * kLanes;
  if (bias) std::copy_n(bias + o, held, last);
  linear_columns<1>(x, n, {padded.data(), last, in, kLanes, out, held}, y + o);
}

const QuantKernels* table(const char* name) {
  static const QuantKernels t = {name,    kPanel,     kLanes, kRows,    pack,            assign, top,
                                 squared, squared_to, scores, add_rows, add_rows_spread, linear, nullptr};
  return &t;
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();
#endif

#if HWY_ONCE
namespace vq {

int64_t supported_targets() { return hwy::SupportedTargets(); }

#define VQ_TABLE(function, target, space, name)                                    \
  const QuantKernels* function() {                                                 \
    return (hwy::SupportedTargets() & target) ? space::table(name) : nullptr;      \
  }
#define VQ_NO_TABLE(function) \
  const QuantKernels* function() { return nullptr; }

#if HWY_TARGETS & HWY_AVX2
VQ_TABLE(avx2_kernels, HWY_AVX2, N_AVX2, "avx2")
#else
VQ_NO_TABLE(avx2_kernels)
#endif
#if HWY_TARGETS & HWY_AVX3
VQ_TABLE(avx512_kernels, HWY_AVX3, N_AVX3, "avx512")
#else
VQ_NO_TABLE(avx512_kernels)
#endif
const QuantKernels* avx512_bf16_kernels() {
  if (!avx512_kernels() || !bf16_filter()) return nullptr;
  static const QuantKernels t = [] {
    QuantKernels same = *avx512_kernels();
    same.name = "avx512_bf16";
    same.filter = bf16_filter();
    return same;
  }();
  return &t;
}
#if HWY_TARGETS & HWY_NEON
VQ_TABLE(neon_kernels, HWY_NEON, N_NEON, "neon")
#else
VQ_NO_TABLE(neon_kernels)
#endif

}  // namespace vq
#endif
