// A faster route to the same nearest code. Scores from bfloat16 products come with an error bound; only the codes that may
// win by it are scored by the contract.
//
// For L2, rows and codes are taken relative to a centre m, which changes every score of a row by the same amount; for dot
// products only the codes are. With x' = x - m, e' = e - m, and x^, e^ their bfloat16 roundings, the filter's score is
//   t_k = b'_k - sum x^_d e^_kd,  b'_k = 1/2 |e'_k|^2 (0 for dot),
// and for every k, up to that common amount,
//   |t_k - s_k| <= |x' - x^| |e'_k| + |x^| |e'_k - e^_k|               (Cauchy-Schwarz on the roundings)
//                + g (b'_k + |x^| |e^_k|) + g (b_k + |x| |e_k|) + tiny   (float32 sums; g covers 4 D roundings)
// With the largest norms over k this is one bound E(x) per row. A code can be the nearest only if t_k <= min t + 2 E(x).
// A row without a finite bound is scored in full.
#pragma once
#include <cstdint>

#include "cpu/quantize_kernels.h"
#include "vq/quantize.h"
#include "vq/scratch.h"

namespace vq {

constexpr int kFilterLanes = 16;
constexpr int kFilterPanel = 2 * kFilterLanes;  // codes per panel

// Pairs of elements lie together, the last one of an odd length with a zero.
inline int64_t pairs_of(int64_t dim) { return (dim + 1) / 2; }

// What E(x) needs besides the row.
struct FilterBound {
  float grow, floor;  // a norm is at most the root of grow * (its float32 sum of squares) + floor
  float shift;        // norm of the centre, for L2
  // Largest norms over the codes: as they are, less the centre, and of what rounding these changed; 1/2 of the first two
  // squared where the bias is that.
  float whole, centred, changed, half_whole, half_centred;
  float sums, tiny;   // g and the absolute term
};

struct FilterKernels {
  // Rows, less the centre where there is one, rounded to bfloat16, their signs turned on demand: out is [n, pairs]. norm
  // and error receive the sums of squares of the rows and of what the rounding changed.
  void (*round)(const float* x, int64_t n, int64_t dim, const float* centre, bool negate, uint32_t* out, float* norm,
                float* error);
  // Per row and lane the smallest score, the vector of codes it came from, and the second smallest. `partial` holds
  // n * kFilterPanel floats.
  void (*scan)(const uint32_t* x, int64_t n, int64_t pairs, const uint32_t* packed, const float* bias, int64_t panels,
               float* best, float* second, int32_t* arg, float* partial);
  // From what scan found and the rows' sums of squares: per row the smallest score, and of which lanes the first code
  // (`some`) or every code (`all`) may be the nearest. Every lane of both where the row has no finite bound.
  void (*decide)(const float* best, const float* second, const float* norm, const float* error, int64_t n,
                 const FilterBound& bound, float* least, uint16_t* some, uint16_t* all);
};
const FilterKernels* bf16_filter();  // null where the machine or the compiler lacks it

class CodeFilter {
 public:
  // Whether the filter pays for itself.
  static bool suits(const QuantKernels& q, int64_t k, int64_t dim) { return q.filter && q.panel == kFilterPanel && k >= 96 && dim >= 32; }

  // The codes must stay as they are. Those that are not finite, or for cosine have no finite norm, are noted in `bad`.
  void pack(const float* codes, int64_t k, int64_t dim, Metric metric, int threads, const QuantKernels& q,
            class FirstRow& bad);
  int64_t bytes() const;

  // Working memory of one thread.
  struct Space {
    Space(const CodeFilter& filter, int64_t rows);
    int64_t rows;
    Scratch<uint32_t> rounded;
    Scratch<float> norm, error, best, second, partial, chunk_scores;
    Scratch<uint16_t> some, all;
    Scratch<int32_t> arg, chunk_codes;
    Scratch<float> panels, panel_bias;  // for rows that are scored in full
    bool selective = true;
  };
  static int64_t bytes_per_row(int64_t dim);

  // As QuantKernels::assign. With `exact` scores are the contract's, and `norms`, where given, the squared norms of the
  // rows; without, scores only tell whether the row has a nearest code.
  void assign(const float* x, int64_t count, Space& space, int32_t* codes, float* scores, float* norms, bool exact) const;

 private:
  void assign_in_full(const float* x, int64_t count, Space& space, int32_t* codes, float* scores, float* norms) const;
  void unit_code(int64_t k, float* out) const;

  const QuantKernels* q_ = nullptr;
  const float* codes_ = nullptr;
  int64_t k_ = 0, dim_ = 0, panels_ = 0;
  Metric metric_ = Metric::kL2;
  Scratch<uint32_t> packed_;
  Scratch<float> bias_, exact_bias_, norms_, centre_;
  bool usable_ = true;
  FilterBound bound_{};
};

}  // namespace vq
