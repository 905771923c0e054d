// The arithmetic of the quantization contract (vq/quantize.h), written once for the device and the host. Every kernel is a
// mapping of threads onto these functions; native/test compares them with the scalar reference bit for bit.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define VQ_HD __host__ __device__ __forceinline__
#else
#define VQ_HD inline
#endif
#if defined(__CUDA_ARCH__)
#define VQ_UNROLL _Pragma("unroll")
#define VQ_NO_UNROLL _Pragma("unroll 1")
#else
#define VQ_UNROLL
#define VQ_NO_UNROLL
#endif

namespace vq::gpu {

constexpr int64_t kNone = INT64_MAX;  // in a cell that keeps the first of something

// Plain + - * stay apart: both compilers are told not to fuse (-fmad=false, -ffp-contract=off).
VQ_HD float fused(float a, float b, float c) {
#ifdef __CUDA_ARCH__
  return __fmaf_rn(a, b, c);
#else
  return std::fma(a, b, c);
#endif
}
VQ_HD double fused(double a, double b, double c) {
#ifdef __CUDA_ARCH__
  return __fma_rn(a, b, c);
#else
  return std::fma(a, b, c);
#endif
}
VQ_HD float quotient(float a, float b) {
#ifdef __CUDA_ARCH__
  return __fdiv_rn(a, b);
#else
  return a / b;
#endif
}
VQ_HD float root(float v) {
#ifdef __CUDA_ARCH__
  return __fsqrt_rn(v);
#else
  return std::sqrt(v);
#endif
}
VQ_HD double root(double v) {
#ifdef __CUDA_ARCH__
  return __dsqrt_rn(v);
#else
  return std::sqrt(v);
#endif
}
VQ_HD float infinity() {
#ifdef __CUDA_ARCH__
  return __int_as_float(0x7f800000);
#else
  return INFINITY;
#endif
}
template <class T>
VQ_HD bool finite(T v) {
  return v - v == T(0);
}
VQ_HD int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
VQ_HD int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Keeps the smallest value in a cell, whoever comes first.
VQ_HD void note_first(int64_t* cell, int64_t value) {
#ifdef __CUDA_ARCH__
  atomicMin(reinterpret_cast<long long*>(cell), static_cast<long long>(value));
#else
  if (value < *cell) *cell = value;
#endif
}

// The same for 32 bits, the largest, and a place in a list.
VQ_HD void keep_least(int32_t* cell, int32_t value) {
#ifdef __CUDA_ARCH__
  atomicMin(cell, value);
#else
  if (value < *cell) *cell = value;
#endif
}
VQ_HD void keep_most(int32_t* cell, int32_t value) {
#ifdef __CUDA_ARCH__
  atomicMax(cell, value);
#else
  if (value > *cell) *cell = value;
#endif
}
VQ_HD int32_t take_place(int32_t* count) {
#ifdef __CUDA_ARCH__
  return atomicAdd(count, 1);
#else
  return (*count)++;
#endif
}

VQ_HD int32_t bits_of(float v) {
#ifdef __CUDA_ARCH__
  return __float_as_int(v);
#else
  int32_t b;
  std::memcpy(&b, &v, sizeof(b));
  return b;
#endif
}
VQ_HD float float_of(int32_t bits) {
#ifdef __CUDA_ARCH__
  return __int_as_float(bits);
#else
  float v;
  std::memcpy(&v, &bits, sizeof(v));
  return v;
#endif
}
// A float as an integer of the same order: the way to the smallest float of many threads. -0 comes before +0, NaNs lie at
// the ends.
VQ_HD int32_t rank_of(float v) {
  const int32_t b = bits_of(v);
  return b ^ ((b >> 31) & 0x7fffffff);
}
VQ_HD float of_rank(int32_t rank) { return float_of(rank ^ ((rank >> 31) & 0x7fffffff)); }
// The smaller one; a NaN is not.
VQ_HD float smaller(float a, float b) {
#ifdef __CUDA_ARCH__
  return fminf(a, b);
#else
  return b < a || a != a ? b : a;
#endif
}

// s_k = b_k - sum_d x_d e_kd, one step.
VQ_HD float score_step(float score, float x, float e) { return fused(-x, e, score); }
// ||x||^2, one step.
VQ_HD float norm_step(float norm, float x) { return fused(x, x, norm); }
// An element of a unit row; rows of norm 0 become zeros.
VQ_HD float unit_element(float x, float norm) { return norm == 0 ? 0.0f : quotient(x, norm); }

// The smallest score wins, ties go to the lowest code. Begins as (+inf, 0): what is not below +inf never wins.
struct Best {
  float score;
  int32_t code;
};
VQ_HD Best no_best() { return {infinity(), 0}; }
VQ_HD bool better(float score, int32_t code, const Best& than) {
  return score < than.score || (score == than.score && code < than.code);
}
VQ_HD void keep_better(Best& best, float score, int32_t code) {
  if (better(score, code, best)) best = {score, code};
}

// Score and code as one integer: the least of any set is its Best, whoever comes first.
VQ_HD int64_t key_of(float score, int32_t code) {
  return static_cast<int64_t>(rank_of(score + 0.0f)) * (int64_t{1} << 32) + code;  // + 0: -0 and +0 tie
}
VQ_HD Best of_key(int64_t key) {
  return {of_rank(static_cast<int32_t>(key >> 32)), static_cast<int32_t>(key & 0x7fffffff)};
}

enum class Kind : int32_t { kL2 = 0, kCosine = 1, kDot = 2 };
VQ_HD float distance_of(Kind kind, float score, float squared_norm) {
  if (kind == Kind::kCosine) return 1.0f + score;
  if (kind == Kind::kDot) return 0.0f - score;
  const float d = 2.0f * score + squared_norm;
  return 0.0f < d ? d : 0.0f;
}

// The first of `count` sorted keys that is not below `key`.
VQ_HD int64_t lower_bound(const int32_t* keys, int64_t count, int32_t key) {
  int64_t low = 0, high = count;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (keys[middle] < key) low = middle + 1;
    else high = middle;
  }
  return low;
}

// k-means measures a cluster's spread in double on 2 x 16 lanes: element d goes to lane d mod 16, those after the last
// whole 16 to the second 16. Source of the order: cpu/quantize_kernels.h.
constexpr int kLanes = 16;
VQ_HD double spread_step(double lane, double weight, float x, float centre) {
  const double t = static_cast<double>(x) - static_cast<double>(centre);
  return fused(weight * t, t, lane);
}
VQ_HD double lane_total(const double* lanes) {
  double total = 0;
  for (int l = 0; l < kLanes; ++l) total += lanes[l] + lanes[kLanes + l];
  return total;
}

}  // namespace vq::gpu
