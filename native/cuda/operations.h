// The quantization calls behind the C interface: arguments checked, buffers turned into pointers. One function per
// operation, so that each is compiled in a file of its own.
#pragma once
#include <mutex>

#include "cuda/codebook_steps.h"
#include "cuda/ema_update.h"
#include "cuda/kmeans.h"
#include "cuda/nearest.h"
#include "cuda/residual_encode.h"

namespace vq::gpu {

template <class M>
struct Context;

template <class M>
struct Buffer {
  Context<M>* context;
  void* data;
  uint64_t bytes;
};
template <class M>
Buffer<M>* real(const vq_buffer* buffer) {
  return reinterpret_cast<Buffer<M>*>(const_cast<vq_buffer*>(buffer));
}

// The most elements that any array of a call may have: byte counts then fit 63 bits with room to spare.
constexpr int64_t kMostElements = int64_t{1} << 48;
inline int64_t elements(int64_t a, int64_t b) {
  int64_t n;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &n) || n > kMostElements) fail(Error::kShape, "sizes are out of range");
  return n;
}

// A buffer of at least `count` elements of T on this context.
template <class T, class M>
T* need(const Context<M>& context, const vq_buffer* buffer, int64_t count, const char* name) {
  if (!buffer) fail(Error::kShape, std::string(name) + " is missing");
  const Buffer<M>* b = real<M>(buffer);
  if (b->context != &context) fail(Error::kDevice, std::string(name) + " belongs to another device");
  if (b->bytes / sizeof(T) < static_cast<uint64_t>(count))
    fail(Error::kShape, std::string(name) + " holds " + std::to_string(b->bytes) + " bytes and needs " +
                            std::to_string(count) + " elements of " + std::to_string(sizeof(T)));
  return static_cast<T*>(b->data);
}
template <class T, class M>
T* may(const Context<M>& context, const vq_buffer* buffer, int64_t count, const char* name) {
  return buffer ? need<T>(context, buffer, count, name) : nullptr;
}

// Memory of the host that a call reads or writes in place of a buffer.
template <class T>
T* on_host(T* p, int64_t count, const char* name) {
  if (!p && count > 0) fail(Error::kShape, std::string(name) + " is missing");
  return p;
}

template <class M>
void run_nearest(Context<M>& c, M& machine, const vq_nearest_args& a, const vq_call* call) {
  if (a.n < 0 || a.k < 1 || a.dim < 1) fail(Error::kShape, "sizes are out of range");
  if (a.metric < VQ_L2 || a.metric > VQ_DOT) fail(Error::kConfig, "metric is out of range");
  if (a.route < VQ_ROUTE_AUTO || a.route > VQ_ROUTE_FILTER_MMA) fail(Error::kConfig, "route is out of range");
  const Run<M> run{machine, call};
  const Kind kind = static_cast<Kind>(a.metric);
  const int64_t size = elements(a.n, a.dim);
  const float* codes = need<float>(c, a.codebook, elements(a.k, a.dim), "codebook");
  if (!a.x && a.host_x)
    return nearest_host(run, a.host_x, a.n, a.dim, codes, a.k, kind, on_host(a.host_indices, a.n, "indices"),
                        a.host_distances, a.block_rows, static_cast<Route>(a.route));
  nearest(run, need<float>(c, a.x, size, "vectors"), a.n, a.dim, codes, a.k, kind,
          need<int32_t>(c, a.indices, a.n, "indices"), may<float>(c, a.distances, a.n, "distances"), static_cast<Route>(a.route));
}

template <class M>
void run_ema_update(Context<M>& c, M& machine, const vq_ema_args& a, const vq_call* call) {
  if (a.n < 0 || a.k < 1 || a.dim < 1) fail(Error::kShape, "sizes are out of range");
  const int64_t size = elements(a.k, a.dim);
  const EmaArrays arrays{need<float>(c, a.codebook, size, "codebook"),         need<float>(c, a.counts, a.k, "counts"),
                         need<float>(c, a.sums, size, "sums"),                 need<float>(c, a.codebook_out, size, "codebook_out"),
                         need<float>(c, a.counts_out, a.k, "counts_out"),      need<float>(c, a.sums_out, size, "sums_out")};
  ema_update(Run<M>{machine, call}, need<float>(c, a.x, elements(a.n, a.dim), "vectors"),
             need<int32_t>(c, a.indices, a.n, "indices"), a.n, a.dim, a.k, arrays, a.decay, a.epsilon);
}

template <class M>
void run_residual_encode(Context<M>& c, M& machine, const vq_residual_args& a, const vq_call* call) {
  if (a.n < 0 || a.dim < 1) fail(Error::kShape, "sizes are out of range");
  if (a.levels < 1 || !a.codebooks || !a.sizes) fail(Error::kShape, "residual encoding needs a codebook");
  if (a.beam < 1 || a.beam > 1024) fail(Error::kConfig, "beam must be from 1 to 1024");
  std::vector<const float*> books;
  std::vector<int64_t> sizes(a.sizes, a.sizes + a.levels);
  for (int32_t level = 0; level < a.levels; ++level) {
    if (sizes[level] < 1) fail(Error::kShape, "codebook " + std::to_string(level) + " is empty");
    books.push_back(need<float>(c, a.codebooks[level], elements(sizes[level], a.dim), "codebook"));
  }
  const Run<M> run{machine, call};
  const int64_t size = elements(a.n, a.dim), codes = elements(a.n, a.levels);
  if (!a.x && a.host_x)
    return residual_encode_host(run, a.host_x, a.n, a.dim, books, sizes, a.beam,
                                ResidualOut{on_host(a.host_codes, codes, "codes"), a.host_quantized, a.host_errors, a.host_level_errors},
                                a.block_rows);
  residual_encode(run, need<float>(c, a.x, size, "vectors"), a.n, a.dim, books, sizes, a.beam,
                  ResidualOut{need<int32_t>(c, a.codes, codes, "codes"), may<float>(c, a.quantized, size, "quantized"),
                              may<float>(c, a.errors, a.n, "errors"), may<float>(c, a.level_errors, codes, "level_errors")});
}

template <class M>
void run_kmeans(Context<M>& c, M& machine, vq_kmeans_args& a, const vq_call* call) {
  if (a.n < 1 || a.dim < 1 || a.k < 1) fail(Error::kShape, "k-means needs rows, a dimension and k of at least 1");
  if (a.init < VQ_INIT_RANDOM || a.init > VQ_INIT_GIVEN) fail(Error::kConfig, "init is out of range");
  if (a.init == VQ_INIT_GIVEN && !a.start) fail(Error::kShape, "no starting centroids given");
  const int64_t size = elements(a.k, a.dim);
  KmeansJob job{};
  const int64_t rows = elements(a.n, a.dim);
  job.x = !a.x && a.host_x ? nullptr : need<float>(c, a.x, rows, "vectors");
  job.host_x = a.host_x, job.block_rows = a.block_rows;
  job.weights = may<float>(c, a.weights, a.n, "weights");
  job.n = a.n, job.k = a.k, job.dim = a.dim;
  job.iterations = a.iterations;
  job.init = a.init;
  job.tolerance = a.tolerance;
  job.seed = a.seed;
  job.spherical = a.spherical != 0;
  job.start = may<float>(c, a.init == VQ_INIT_GIVEN ? a.start : nullptr, size, "start");
  job.centroids = need<float>(c, a.centroids, size, "centroids");
  job.assignments = need<int32_t>(c, a.assignments, a.n, "assignments");
  if (a.progress) job.progress = [&](int iteration, double inertia) { a.progress(call ? call->user : nullptr, iteration, inertia); };
  const KmeansOutcome out = Kmeans<M>(Run<M>{machine, call}, job).solve();
  a.inertia = out.history.back();
  a.converged = out.converged;
  a.history_size = static_cast<int32_t>(out.history.size());
  if (a.history) std::copy(out.history.begin(), out.history.end(), a.history);
}

template <class M>
void run_estimator_gradient(Context<M>& c, M& machine, const vq_estimator_args& a, const vq_call* call) {
  if (a.n < 0 || a.dim < 1) fail(Error::kShape, "sizes are out of range");
  if (a.estimator < VQ_STRAIGHT_THROUGH || a.estimator > VQ_PROJECTION) fail(Error::kConfig, "estimator is out of range");
  const int64_t size = elements(a.n, a.dim);
  estimator_gradient(Run<M>{machine, call}, static_cast<Estimator>(a.estimator), need<float>(c, a.z, size, "z"),
                     need<float>(c, a.q, size, "q"), need<float>(c, a.g, size, "g"), a.n, a.dim, need<float>(c, a.out, size, "out"));
}

template <class M>
void run_replace_rows(Context<M>& c, M& machine, const vq_replace_args& a, const vq_call* call) {
  if (a.n < 1 || a.k < 1 || a.dim < 1 || a.count < 0 || a.count > a.k) fail(Error::kShape, "sizes are out of range");
  const int64_t size = elements(a.k, a.dim);
  replace_rows(Run<M>{machine, call}, need<float>(c, a.x, elements(a.n, a.dim), "vectors"), a.n, a.dim, a.k,
               need<int32_t>(c, a.codes, a.count, "codes"), need<int32_t>(c, a.rows, a.count, "rows"), a.count, a.fresh,
               CodebookState{need<float>(c, a.codebook, size, "codebook"), need<float>(c, a.counts, a.k, "counts"),
                             may<float>(c, a.sums, size, "sums")});
}

}  // namespace vq::gpu
