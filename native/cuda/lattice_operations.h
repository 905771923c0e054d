// The calls of lattice.h behind the C interface, as in operations.h.
#pragma once
#include "cuda/lattice.h"
#include "cuda/operations.h"

namespace vq::gpu {

inline FsqLevels fsq_levels(const int32_t* levels, int64_t dim, int32_t bound) {
  if (dim < 1 || dim > kFsqMostDimensions || !levels) fail(Error::kConfig, "dim is outside 1 to 31");
  if (bound < VQ_FSQ_ORIGINAL || bound > VQ_FSQ_SYMMETRIC) fail(Error::kConfig, "bound is out of range");
  return FsqLevels(std::vector<int64_t>(levels, levels + dim), static_cast<FsqBound>(bound));
}
inline void expect_bits(int64_t bits) {
  if (bits < 1 || bits > 31) fail(Error::kConfig, "bits are outside 1 to 31");
}

template <class M>
void run_fsq_encode(Context<M>& c, M& machine, const vq_fsq_args& a, const vq_call* call) {
  const FsqLevels levels = fsq_levels(a.levels, a.dim, a.bound);
  const int64_t size = elements(a.n, a.dim);
  fsq_encode(Run<M>{machine, call}, need<float>(c, a.z, size, "z"), a.n, levels, may<int32_t>(c, a.indices, a.n, "indices"),
             may<float>(c, a.quantized, size, "quantized"), may<float>(c, a.bounded, size, "bounded"));
}
template <class M>
void run_fsq_gradient(Context<M>& c, M& machine, const vq_fsq_gradient_args& a, const vq_call* call) {
  const FsqLevels levels = fsq_levels(a.levels, a.dim, a.bound);
  const int64_t size = elements(a.n, a.dim);
  fsq_gradient(Run<M>{machine, call}, need<float>(c, a.z, size, "z"), need<float>(c, a.g, size, "g"), a.n, levels,
               need<float>(c, a.out, size, "out"));
}
template <class M>
void run_fsq_decode(Context<M>& c, M& machine, const vq_fsq_decode_args& a, const vq_call* call) {
  const FsqLevels levels = fsq_levels(a.levels, a.dim, a.bound);
  const int64_t size = elements(a.n, a.dim);
  fsq_decode(Run<M>{machine, call}, need<int32_t>(c, a.indices, a.n, "indices"), a.n, levels, need<float>(c, a.out, size, "out"));
}
template <class M>
void run_lfq_encode(Context<M>& c, M& machine, const vq_lfq_args& a, const vq_call* call) {
  expect_bits(a.bits);
  const int64_t size = elements(a.n, a.bits);
  lfq_encode(Run<M>{machine, call}, need<float>(c, a.z, size, "z"), a.n, a.bits, a.scale,
             may<int32_t>(c, a.indices, a.n, "indices"), may<float>(c, a.quantized, size, "quantized"));
}
template <class M>
void run_lfq_decode(Context<M>& c, M& machine, const vq_lfq_decode_args& a, const vq_call* call) {
  expect_bits(a.bits);
  const int64_t size = elements(a.n, a.bits);
  lfq_decode(Run<M>{machine, call}, need<int32_t>(c, a.indices, a.n, "indices"), a.n, a.bits, a.scale,
             need<float>(c, a.out, size, "out"));
}

inline LfqGroups lfq_groups(int64_t n, int64_t bits, int64_t group) {
  if (bits < 1 || bits > 4096 || group < 1 || group > kLfqMostBits) fail(Error::kConfig, "bits or group are out of range");
  if (n < 1) fail(Error::kShape, "there are no rows");
  return {bits, std::min(group, bits)};
}
template <class M>
void run_lfq_entropy(Context<M>& c, M& machine, const vq_lfq_entropy_args& a, const vq_call* call) {
  const LfqGroups groups = lfq_groups(a.n, a.bits, a.group);
  lfq_entropy(Run<M>{machine, call}, need<float>(c, a.z, elements(a.n, a.bits), "z"), a.n, groups, a.kappa,
              need<float>(c, a.entropy, 1, "entropy"), need<float>(c, a.diversity, 1, "diversity"),
              need<float>(c, a.table, groups.table_size(), "table"));
}
template <class M>
void run_lfq_entropy_gradient(Context<M>& c, M& machine, const vq_lfq_entropy_gradient_args& a, const vq_call* call) {
  const LfqGroups groups = lfq_groups(a.n, a.bits, a.group);
  const int64_t size = elements(a.n, a.bits);
  lfq_entropy_gradient(Run<M>{machine, call}, need<float>(c, a.z, size, "z"), a.n, groups, a.kappa, a.by_entropy,
                       a.by_diversity, need<float>(c, a.table, groups.table_size(), "table"), need<float>(c, a.out, size, "out"));
}

}  // namespace vq::gpu
