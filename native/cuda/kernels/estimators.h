// The gradient past a quantizer: a row's lanes are threads, the arithmetic is vq/estimators.h.
#pragma once
#include "cuda/block.h"
#include "vq/estimators.h"

namespace vq::gpu {

template <class Row>
struct EstimatorGradient {
  static constexpr int kThreads = 256, kLanesEach = kEstimatorLanes, kRows = kThreads / kLanesEach;
  struct Shared {
    float lanes[kRows][kEstimatorSums][kLanesEach];
  };
  struct Registers {
    Row row;
  };
  const float *z, *q, *g;
  int64_t n, dim;
  float* out;
  int64_t blocks() const { return ceil_div(n, kRows); }
  template <class Block>
  VQ_HD void run(Block& block) const {
    Shared& s = block.shared();
    const auto at = [&](int thread) { return block.index() * kRows + thread / kLanesEach; };
    const auto add = [&](int thread, auto&& step) {
      float a = 0, b = 0, c = 0;
      if (at(thread) < n)
        for (int64_t d = thread % kLanesEach, i = at(thread) * dim + d; d < dim; d += kLanesEach, i += kLanesEach)
          step(a, b, c, z[i], q[i], g[i]);
      float(&lanes)[kEstimatorSums][kLanesEach] = s.lanes[thread / kLanesEach];
      lanes[0][thread % kLanesEach] = a, lanes[1][thread % kLanesEach] = b, lanes[2][thread % kLanesEach] = c;
    };
    const auto joined = [&](int thread, float (&sums)[kEstimatorSums]) {
      for (int i = 0; i < kEstimatorSums; ++i) sums[i] = lanes_joined(s.lanes[thread / kLanesEach][i]);
    };
    block.each([&](int thread, Registers& r) {
      add(thread, [&](float& a, float& b, float& c, float zv, float qv, float gv) { r.row.first(a, b, c, zv, qv, gv); });
    });
    block.each([&](int thread, Registers& r) {
      float sums[kEstimatorSums];
      joined(thread, sums);
      r.row.between(sums);
    });
    if (Row::kTwice) block.each([&](int thread, Registers& r) {
      add(thread, [&](float& a, float& b, float& c, float zv, float qv, float gv) { r.row.second(a, b, c, zv, qv, gv); });
    });
    block.each([&](int thread, Registers& r) {
      float sums[kEstimatorSums];
      joined(thread, sums);
      if (Row::kTwice) r.row.finish(sums);
      if (at(thread) >= n) return;
      for (int64_t d = thread % kLanesEach, i = at(thread) * dim + d; d < dim; d += kLanesEach, i += kLanesEach)
        out[i] = r.row.gradient(z[i], q[i], g[i]);
    });
  }
};

}  // namespace vq::gpu
