// A warp of the emulated device: the fragments of ldmatrix and mma.m16n8k16 as the PTX ISA lays them over the lanes ("Matrix
// fragments for mma.m16n8k16 with floating point type", "ldmatrix"). The sums are rounded in one of several ways, in turn: a
// device's own is not specified, and what uses them may rely on none.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "cuda/kernels/filter_tiles.h"

namespace vq::gpu {

// As the bound of kernels/filter_bound.h takes it, never nearer.
enum class Adding : int { kAscending, kDescending, kAtOnce, kAway, kCount };

inline double cut_to_float(double v, bool away) {
  int64_t bits;
  std::memcpy(&bits, &v, sizeof(bits));
  const int64_t kept = bits & ~((int64_t{1} << 29) - 1), next = kept + (int64_t{1} << 29);
  const int64_t result = away && kept != bits ? next : kept;
  std::memcpy(&v, &result, sizeof(v));
  return std::fabs(v) < 0x1p-126 ? 0.0 : v;  // flushed
}

inline float sum_of_products(const float* x, const float* e, float sum, Adding how) {
  constexpr int kDepth = 16;
  double addends[kDepth + 1];
  for (int k = 0; k < kDepth; ++k) addends[k] = static_cast<double>(x[k]) * static_cast<double>(e[k]);
  addends[kDepth] = sum;
  double total = 0;
  if (how == Adding::kAtOnce) {
    double largest = 0;
    for (double v : addends) largest = std::max(largest, std::fabs(v));
    if (!(largest > 0) || !std::isfinite(largest)) {
      for (double v : addends) total += v;
      return static_cast<float>(total);
    }
    int exponent;
    std::frexp(largest, &exponent);
    const double unit = std::ldexp(1.0, std::max(exponent - 24, -149));
    for (double v : addends) total += std::trunc(v / unit) * unit;
    return static_cast<float>(cut_to_float(total, false));
  }
  total = sum;
  for (int i = 0; i < kDepth; ++i)
    total = cut_to_float(total + addends[how == Adding::kDescending ? kDepth - 1 - i : i], how == Adding::kAway);
  return static_cast<float>(total);
}

template <class Registers>
class EmulatedWarp {
 public:
  static inline int turn = 0;
  explicit EmulatedWarp(Registers* lanes) : lanes_(lanes) {}

  template <class F>
  void each(F&& f) {
    for (int lane = 31; lane >= 0; --lane) f(lane, lanes_[lane]);
  }
  template <class To, class From>
  void matrices(To&& to, From&& from) {
    const uint16_t* rows[32];
    for (int lane = 0; lane < 32; ++lane) rows[lane] = from(lane);
    for (int lane = 0; lane < 32; ++lane)
      for (int m = 0; m < 4; ++m) std::memcpy(&to(lanes_[lane])[m], rows[8 * m + lane / 4] + lane % 4 * 2, 4);
  }
  template <class Sums, class Left, class Right>
  void multiply(Sums&& sums, Left&& left, Right&& right) {
    float x[16][16], e[8][16];
    for (int lane = 0; lane < 32; ++lane) {
      const uint32_t *a = left(lanes_[lane]), *b = right(lanes_[lane]);
      const int row = lane / 4, k = lane % 4 * 2;
      for (int half = 0; half < 2; ++half) {
        for (int i = 0; i < 4; ++i) x[row + i % 2 * 8][k + i / 2 * 8 + half] = element(a[i], half);
        for (int i = 0; i < 2; ++i) e[row][k + i * 8 + half] = element(b[i], half);
      }
    }
    bool empty_row[16], empty_code[8];  // padding: nothing to add
    for (int i = 0; i < 16; ++i) empty_row[i] = std::all_of(x[i], x[i] + 16, [](float v) { return v == 0; });
    for (int i = 0; i < 8; ++i) empty_code[i] = std::all_of(e[i], e[i] + 16, [](float v) { return v == 0; });
    const Adding how = static_cast<Adding>(turn++ % static_cast<int>(Adding::kCount));
    for (int lane = 0; lane < 32; ++lane) {
      float* c = sums(lanes_[lane]);
      for (int i = 0; i < 4; ++i) {
        const int row = lane / 4 + i / 2 * 8, code = lane % 4 * 2 + i % 2;
        if (!empty_row[row] && !empty_code[code]) c[i] = sum_of_products(x[row], e[code], c[i], how);
      }
    }
  }

 private:
  // Inputs below the smallest normal number may be flushed as well.
  static float element(uint32_t pair, int half) {
    const float v = of_bf16(static_cast<uint16_t>(pair >> (16 * half)));
    return std::fabs(v) < 0x1p-126f ? 0.0f : v;
  }
  Registers* lanes_;
};

}  // namespace vq::gpu
