// The quantization core: nearest code, codebook update, residual encoding, k-means. All arrays are row-major float32.
// Results are the same bits for every instruction set, thread count and split of the rows.
//
// Score of row x and code e_k: s_k = b_k - sum_d x_d e_kd, b_k = 1/2 sum_d e_kd^2 (0 for dot and cosine), one fused
// multiply-add per term in ascending d. The smallest score wins, ties go to the lowest k. Codebooks must be finite. A
// row whose best score is not finite (it holds a NaN or an infinity, or float32 overflows) has no nearest code: the
// call fails and names the first such row.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "vq/scratch.h"

namespace vq {

enum class Metric : int { kL2 = 0, kCosine = 1, kDot = 2 };

struct CallOptions {
  int threads = 1;
  const std::atomic<bool>* stop = nullptr;  // looked at between blocks of rows; a stopped call throws Stopped
};
struct Stopped {};

class CodeFilter;

// A codebook made ready for the kernels of one instruction set: panels of lanes-many codes, element by element, or the
// form of the filter of cpu/code_filter.h where there is one and it pays for itself.
class PackedCodebook {
 public:
  // kPanels: data() and bias() are there. Making the filter's form costs more; it pays from about a hundred rows on.
  enum Use { kFilter, kPanels };
  static Use use_for(int64_t rows) { return rows < 128 ? kPanels : kFilter; }
  PackedCodebook();
  PackedCodebook(PackedCodebook&&) noexcept;
  PackedCodebook& operator=(PackedCodebook&&) noexcept;
  ~PackedCodebook();
  // The codes must stay as they are. Throws kValue naming the first code that is not finite; `what` names the codebook in
  // that message. Without `kernels`, those of the instruction set in use.
  void pack(const float* codes, int64_t k, int64_t dim, Metric metric, int threads, const char* what = "codebook",
            const struct QuantKernels* kernels = nullptr, Use use = kFilter);
  int64_t size() const { return k_; }
  int64_t dim() const { return dim_; }
  int64_t bytes() const;
  const float* data() const { return data_.data(); }
  const float* bias() const { return bias_.data(); }
  int64_t panels() const { return panels_; }
  Metric metric() const { return metric_; }
  const struct QuantKernels& kernels() const { return *kernels_; }

  // One thread's working memory for up to `rows` rows at a time, and about `room` bytes more where that saves time.
  class Space {
   public:
    Space(const PackedCodebook& codebook, int64_t rows, int64_t room);
    ~Space();

   private:
    friend class PackedCodebook;
    struct Arrays;
    std::unique_ptr<Arrays> arrays_;
  };
  // Smallest score and its code for each row; score +inf and code 0 where no score is below +inf. Rows are unit rows for
  // cosine. `norms`, where given, receives the squared norms. Without `exact` a score only tells whether it is finite.
  void assign(const float* x, int64_t count, Space& space, int32_t* codes, float* scores, float* norms, bool exact) const;

 private:
  [[noreturn]] void fail_at(int64_t code, const char* what) const;

  const struct QuantKernels* kernels_ = nullptr;
  const float* codes_ = nullptr;
  int64_t k_ = 0, dim_ = 0, panels_ = 0;
  Metric metric_ = Metric::kL2;
  Scratch<float> data_, bias_;
  std::unique_ptr<CodeFilter> filter_;
};

// indices [n]; distances [n] or null: squared distance for l2, 1 - cos for cosine, the product for dot.
void nearest(const float* x, int64_t n, const PackedCodebook& codebook, int32_t* indices, float* distances,
             const CallOptions& options);
void nearest(const float* x, int64_t n, int64_t dim, const float* codes, int64_t k, Metric metric, int32_t* indices,
             float* distances, const CallOptions& options);

// counts [k] and sums [k, dim] of the rows of each code, added in ascending row order. An index of -1 leaves its row
// out; any other index outside [0, k) fails and names the row.
void code_sums(const float* x, const int32_t* indices, int64_t n, int64_t dim, int64_t k, float* counts, float* sums,
               const CallOptions& options);

// y [n, out] = x [n, in] w [in, out] + bias [out] (null for zeros), each element one fused multiply-add per input in
// ascending order from the bias on. Unlike a matrix product's, its bits depend on nothing but the row.
void ordered_linear(const float* x, int64_t n, int64_t in, const float* w, int64_t out, const float* bias, float* y,
                    const CallOptions& options);

// Codes that a network makes from the K rows of `start` and the vector `shift` of each row (Huijben et al. 2024, "Residual
// Quantization with Implicit Neural Codebooks"): e = start_k + shift, then for each block e += relu(e up) down, products
// as by ordered_linear. up [blocks, dim, hidden], down [blocks, hidden, dim].
struct ImplicitCodebook {
  int64_t k = 0, dim = 0, hidden = 0, blocks = 0;
  const float *start = nullptr, *up = nullptr, *down = nullptr;
  void expect_sizes() const;  // fails unless all are at least 1 and k and the widths fit 31 bits
};
// indices [n]: the code with the smallest score for x [n, dim] and the vectors shift [n, dim]; codes whose score is not
// finite are passed over. Each thread takes about 256 KB, or 48 (2 dim + hidden) bytes where that is more.
void nearest_implicit(const float* x, const float* shift, int64_t n, const ImplicitCodebook& codebook, int32_t* indices,
                      const CallOptions& options);

struct EmaOptions {
  double decay = 0.99, epsilon = 1e-5;
};
// One exponential-moving-average step, float32 in this order: n_k, sum_k by code_sums; c_k = fma(g, c_k, h n_k) and
// s_k = fma(g, s_k, h sum_k) with g = decay, h = 1 - decay; N = sum of c_k in ascending k;
// e_k = s_k / ((c_k + epsilon) / (N + K epsilon) * N), left alone where that divisor is 0.
// Outputs may be the inputs. Fails before anything is written when a row that counts, a count or a sum is not finite.
// Source: van den Oord, Vinyals, Kavukcuoglu 2017, appendix A.1.
void ema_update(const float* x, const int32_t* indices, int64_t n, int64_t dim, int64_t k, const float* codebook,
                const float* counts, const float* sums, float* codebook_out, float* counts_out, float* sums_out,
                const EmaOptions& ema, const CallOptions& options);

namespace gpu {
enum class Estimator : int32_t;
}
// The gradient of z from g, that of q = quantized z, by an estimator of vq/estimators.h; all [n, dim]. out may be g.
void estimator_gradient(gpu::Estimator estimator, const float* z, const float* q, const float* g, int64_t n, int64_t dim,
                        float* out, const CallOptions& options);

// codes [n, levels]; quantized [n, dim] or null: the chosen codes added in level order; errors [n] or null: squared
// norm of what is left after the last level; level_errors [n, levels] or null: the same after each level. With beam > 1 each kept path proposes its `beam` nearest codes, and the
// proposals are ranked by the squared norm of their residual, ties to the lower code, then to the better-ranked parent.
void residual_encode(const float* x, int64_t n, int64_t dim, const std::vector<const float*>& codebooks,
                     const std::vector<int64_t>& sizes, int beam, int32_t* codes, float* quantized, float* errors,
                     float* level_errors, const CallOptions& options);

struct KmeansOptions {
  int64_t k = 1;
  int iterations = 25;
  double tolerance = 1e-4;       // stop when the centroids' squared shift is at most tolerance * mean variance
  enum Init { kRandom, kPlusPlus, kGiven } init = kPlusPlus;
  const float* start = nullptr;  // [k, dim] for kGiven
  uint64_t seed = 0;
  bool spherical = false;
  const float* weights = nullptr;  // [n], finite, at least 0
  // Ascending numbers below dim: k-means of so many leading elements of the rows first, each from the clusters of the one
  // before, `iterations` updates at each. Not with kGiven or spherical.
  std::vector<int64_t> leading;
  std::function<void(int iteration, double inertia)> progress;
};
struct KmeansResult {
  double inertia = 0;
  std::vector<double> history;  // inertia of each assignment, the final one last
  bool converged = false;
};
// centroids [k, dim], assignments [n].
KmeansResult kmeans(const float* x, int64_t n, int64_t dim, const KmeansOptions& options, float* centroids,
                    int32_t* assignments, const CallOptions& call);

// What the rows of each cluster add up to: weighted sums [k, dim], their number [k], and 32 lanes [k, 32] that add up to the
// squared distances from the centroid.
struct ClusterSums {
  double *sums, *lanes, *weight;
};
// One assignment of k-means for some of the rows: assignments [n], and the rows added to the sums. From zeros, over all rows
// block by block in ascending order, the sums are to the bit what k-means on all rows at once has.
void kmeans_block(const float* x, int64_t n, int64_t dim, const float* centroids, int64_t k, int32_t* assignments,
                  const ClusterSums& to, const CallOptions& options);

}  // namespace vq
