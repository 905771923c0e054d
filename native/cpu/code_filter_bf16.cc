// The filter's inner loops for AVX-512 with bfloat16 products: two multiply-adds where a float32 lane does one.
#include "cpu/code_filter.h"

#if defined(__x86_64__) && defined(__GNUC__) && (defined(__clang__) ? __clang_major__ >= 9 : __GNUC__ >= 10)
#include <immintrin.h>

#include <algorithm>
#include <limits>

// After the headers: what they define may run anywhere.
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")
#endif
namespace vq {
namespace {

constexpr int kRows = 12;  // rows x 2 accumulators fill the registers
constexpr int kLanes = kFilterLanes;
constexpr int64_t kPart = 160;  // pairs of a panel that are met at once: 20 KB of the first-level cache
#define HIDE(pointer) asm("" : "+r"(pointer))  // the compiler may not merge it with others

// 16 elements of a row, less the centre, to bfloat16; their squares and those of what that changed are added.
inline __attribute__((always_inline)) __m256i round_some(__m512 v, __m512& sum, __m512& changed) {
  const __m256bh half = _mm512_cvtneps_pbh(v);
  const __m256i bits = reinterpret_cast<const __m256i&>(half);
  const __m512 off = _mm512_sub_ps(v, _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16)));
  sum = _mm512_fmadd_ps(v, v, sum);
  changed = _mm512_fmadd_ps(off, off, changed);
  return bits;
}

void round(const float* x, int64_t n, int64_t dim, const float* centre, bool negate, uint32_t* out, float* norm,
           float* error) {
  const int64_t pairs = pairs_of(dim), whole = dim / kLanes * kLanes;
  const __mmask16 in = static_cast<__mmask16>((1u << (dim - whole)) - 1);
  const __m512 sign = _mm512_set1_ps(negate ? -0.0f : 0.0f);
  for (int64_t i = 0; i < n; ++i) {
    const float* row = x + i * dim;
    uint16_t* to = reinterpret_cast<uint16_t*>(out + i * pairs);
    __m512 sum = _mm512_setzero_ps(), changed = _mm512_setzero_ps();
    for (int64_t d = 0; d < whole; d += kLanes) {
      __builtin_prefetch(row + d + 4 * dim);
      __m512 v = _mm512_loadu_ps(row + d);
      if (centre) v = _mm512_sub_ps(v, _mm512_loadu_ps(centre + d));
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + d), round_some(_mm512_xor_ps(v, sign), sum, changed));
    }
    if (in) {
      __m512 v = _mm512_maskz_loadu_ps(in, row + whole);
      if (centre) v = _mm512_sub_ps(v, _mm512_maskz_loadu_ps(in, centre + whole));
      alignas(32) uint16_t last[kLanes];
      _mm256_store_si256(reinterpret_cast<__m256i*>(last), round_some(_mm512_xor_ps(v, sign), sum, changed));
      std::copy_n(last, 2 * pairs - whole, to + whole);
    }
    norm[i] = _mm512_reduce_add_ps(sum);
    error[i] = _mm512_reduce_add_ps(changed);
  }
}

struct Part {
  int64_t stride, steps;
  bool first, last;
  const uint32_t* panel;
  const float* bias;
  int32_t vector;
};

template <int R>
inline __attribute__((always_inline)) void scan_tile(const uint32_t* x, const Part& part, float* partial, float* best,
                                                     float* second, int32_t* arg) {
  __m512 acc[R][2];
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
    for (int w = 0; w < 2; ++w)
      acc[r][w] = _mm512_load_ps(part.first ? part.bias + w * kLanes : partial + (2 * r + w) * kLanes);
  // One pointer for every three rows: the others are reached by an index register, so that no pointer is spilled.
  constexpr int kGroups = (R + 2) / 3;
  const uint32_t* group[kGroups];
#pragma GCC unroll 16
  for (int g = 0; g < kGroups; ++g) {
    group[g] = x + 3 * g * part.stride;
    HIDE(group[g]);
  }
  const uint32_t* panel = part.panel;
  for (const uint32_t* end = panel + part.steps * kFilterPanel; panel != end; panel += kFilterPanel) {
    __m512i e[2];
#pragma GCC unroll 2
    for (int w = 0; w < 2; ++w) {
      e[w] = _mm512_load_si512(panel + w * kLanes);
      __builtin_prefetch(panel + 12 * kFilterPanel + w * kLanes);
    }
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r) {
      const __m512i v = _mm512_set1_epi32(static_cast<int>(group[r / 3][r % 3 * part.stride]));
#pragma GCC unroll 2
      for (int w = 0; w < 2; ++w)
        acc[r][w] = _mm512_dpbf16_ps(acc[r][w], reinterpret_cast<const __m512bh&>(v), reinterpret_cast<const __m512bh&>(e[w]));
    }
#pragma GCC unroll 16
    for (int g = 0; g < kGroups; ++g) {
      ++group[g];
      HIDE(group[g]);
    }
  }
  if (!part.last) {
#pragma GCC unroll 16
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 2
      for (int w = 0; w < 2; ++w) _mm512_store_ps(partial + (2 * r + w) * kLanes, acc[r][w]);
    return;
  }
#pragma GCC unroll 16
  for (int r = 0; r < R; ++r) {
    __m512 b = _mm512_load_ps(best + r * kLanes), s = _mm512_load_ps(second + r * kLanes);
    __m512i a = _mm512_load_si512(arg + r * kLanes);
#pragma GCC unroll 2
    for (int w = 0; w < 2; ++w) {
      const __m512 t = acc[r][w];
      const __mmask16 less = _mm512_cmp_ps_mask(t, b, _CMP_LT_OQ);
      s = _mm512_min_ps(s, _mm512_max_ps(b, t));
      b = _mm512_min_ps(b, t);
      a = _mm512_mask_mov_epi32(a, less, _mm512_set1_epi32(part.vector + w));
    }
    _mm512_store_ps(best + r * kLanes, b);
    _mm512_store_ps(second + r * kLanes, s);
    _mm512_store_si512(arg + r * kLanes, a);
  }
}

// Codes are packed with their signs turned, so that products are added.
void scan(const uint32_t* x, int64_t n, int64_t pairs, const uint32_t* packed, const float* bias, int64_t panels,
          float* best, float* second, int32_t* arg, float* partial) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const int64_t parts = (pairs + kPart - 1) / kPart, step = (pairs + parts - 1) / parts;
  std::fill(best, best + n * kLanes, kInf);
  std::fill(second, second + n * kLanes, kInf);
  std::fill(arg, arg + n * kLanes, 0);
  for (int64_t p = 0; p < panels; ++p)
    for (int64_t d = 0; d < pairs; d += step) {
      const Part part = {pairs,
                         std::min(step, pairs - d),
                         d == 0,
                         d + step >= pairs,
                         packed + (p * pairs + d) * kFilterPanel,
                         bias + p * kFilterPanel,
                         static_cast<int32_t>(2 * p)};
      const uint32_t* rows = x + d;
      int64_t r = 0;
      for (; r + kRows <= n; r += kRows)
        scan_tile<kRows>(rows + r * pairs, part, partial + r * kFilterPanel, best + r * kLanes, second + r * kLanes,
                         arg + r * kLanes);
      for (; r + 4 <= n; r += 4)
        scan_tile<4>(rows + r * pairs, part, partial + r * kFilterPanel, best + r * kLanes, second + r * kLanes,
                     arg + r * kLanes);
      for (; r < n; ++r)
        scan_tile<1>(rows + r * pairs, part, partial + r * kFilterPanel, best + r * kLanes, second + r * kLanes,
                     arg + r * kLanes);
    }
}

// A finite bound keeps everything below this; what overflows on the way does not.
constexpr float kLimit = 1e37f;

inline __attribute__((always_inline)) __m512 set(float v) { return _mm512_set1_ps(v); }

inline __attribute__((always_inline)) __m512 root(__m512 sum, const FilterBound& c) {
  return _mm512_sqrt_ps(_mm512_fmadd_ps(sum, set(c.grow), set(c.floor)));
}

void decide(const float* best, const float* second, const float* norm, const float* error, int64_t n,
            const FilterBound& c, float* least, uint16_t* some, uint16_t* all) {
  alignas(64) float room[kLanes];
  for (int64_t at = 0; at < n; at += kLanes) {
    const int64_t held = std::min<int64_t>(kLanes, n - at);
    const __mmask16 in = static_cast<__mmask16>((1u << held) - 1);
    const __m512 row = root(_mm512_maskz_loadu_ps(in, norm + at), c);
    // The centre's subtraction was rounded too.
    const __m512 off = _mm512_fmadd_ps(row, set(0x1p-23f), root(_mm512_maskz_loadu_ps(in, error + at), c));
    const __m512 rounded = _mm512_add_ps(row, off);
    const __m512 mine = _mm512_fmadd_ps(rounded, set(c.centred + c.changed), set(c.half_centred));
    const __m512 theirs = _mm512_fmadd_ps(_mm512_add_ps(row, set(c.shift)), set(c.whole), set(c.half_whole));
    __m512 e = _mm512_fmadd_ps(off, set(c.centred), set(c.tiny));
    e = _mm512_fmadd_ps(rounded, set(c.changed), e);
    e = _mm512_fmadd_ps(set(c.sums), _mm512_add_ps(mine, theirs), e);
    const __mmask16 sound = _mm512_cmp_ps_mask(mine, set(kLimit), _CMP_LT_OQ) & _mm512_cmp_ps_mask(theirs, set(kLimit), _CMP_LT_OQ);
    // Twice the bound and what the float32 arithmetic here may have lost of it.
    _mm512_store_ps(room, _mm512_mask_mul_ps(set(std::numeric_limits<float>::infinity()), sound, e, set(2.02f)));
    for (int64_t i = 0; i < held; ++i) {
      const __m512 b = _mm512_load_ps(best + (at + i) * kLanes);
      const float low = _mm512_reduce_min_ps(b);
      // The sum may have been rounded down, by at most half a unit in its last place.
      const float limit = low + room[i] + 0x1p-22f * (__builtin_fabsf(low) + room[i]);
      const bool finite = limit < kLimit;
      least[at + i] = low;
      some[at + i] = finite ? _mm512_cmp_ps_mask(b, set(limit), _CMP_LE_OQ) : 0xffff;
      all[at + i] = finite ? _mm512_cmp_ps_mask(_mm512_load_ps(second + (at + i) * kLanes), set(limit), _CMP_LE_OQ) : 0xffff;
    }
  }
}

}  // namespace
}  // namespace vq
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif

namespace vq {
const FilterKernels* bf16_filter() {
  static const FilterKernels table = {round, scan, decide};
  return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")
             ? &table
             : nullptr;
}
}  // namespace vq

#else
namespace vq {
const FilterKernels* bf16_filter() { return nullptr; }
}  // namespace vq
#endif
