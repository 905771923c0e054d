// The inner loops of quantization, one table per instruction set. quantize_scalar.cc is the reference,
// quantize_simd.cc the same arithmetic with Highway.
#pragma once
#include <cstdint>

namespace vq {

// The best few codes of one row, best first.
struct TopList {
  float* scores;
  int32_t* codes;
  int32_t* count;
};

struct QuantKernels {
  const char* name;
  int panel;      // codes per panel
  int state;      // floats of per-row state that `assign` needs, times two (scores and indices)
  int tile;       // rows that are worked on together

  // One panel: element d of code c at out[d * panel + c]; bias[c] = half the squared norm, or 0. Missing codes of the
  // last panel get bias +inf. `out` and `bias` point at the panel.
  void (*pack)(const float* codes, int64_t k, int64_t dim, int64_t first, bool half_norm, float* out, float* bias);

  // Working memory: n * state of `best` and `arg`, n * panel of `partial`.
  // Smallest score and its code for n rows; score +inf and code 0 where no score is below +inf.
  void (*assign)(const float* x, int64_t n, int64_t dim, const float* packed, const float* bias, int64_t panels,
                 float* best, int32_t* arg, float* partial, int32_t* codes, float* scores);

  // The `most` smallest finite-or-lower scores per row; scores and codes are [n, most], counts [n].
  void (*top)(const float* x, int64_t n, int64_t dim, const float* packed, const float* bias, int64_t panels, int most,
              float* scores, int32_t* codes, int32_t* counts);

  // out[i] = sum_d (a_i[d] - b_i[d])^2: a subtraction and a fused multiply-add each, ascending d. Without b: of a alone.
  void (*squared)(const float* const* a, const float* const* b, int64_t n, int64_t dim, float* out);

  // out[i] = sum_d (a_i[d] - c[d])^2, likewise.
  void (*squared_to)(const float* const* a, const float* c, int64_t n, int64_t dim, float* out);

  // out[i] = start[i] - sum_d a_i[d] b_i[d], the contract's score of a pair; norms[i], where given, = sum_d a_i[d]^2.
  void (*scores)(const float* const* a, const float* const* b, const float* start, int64_t n, int64_t dim, float* out,
                 float* norms);

  // sum[d] += x[rows[i]][d] for i ascending.
  void (*add_rows)(const float* x, const int32_t* rows, int64_t count, int64_t dim, float* sum);

  // For each listed row and its code k = codes[row], in double: sums[k, d] += w x[d], and the 2 * 16 lanes of code k
  // collect w (x - c_k)^2: element d goes to lane d mod 16, those after the last whole 16 to the second 16.
  void (*add_rows_spread)(const float* x, const int32_t* rows, int64_t count, int64_t dim, const float* weights,
                          const int32_t* codes, const float* centres, double* sums, double* lanes);

  // y[i, o] = bias[o] + sum_d x[i, d] w[d, o], one fused multiply-add per term in ascending d. bias: null for zeros.
  void (*linear)(const float* x, int64_t n, int64_t in, const float* w, int64_t out, const float* bias, float* y);

  const struct FilterKernels* filter;  // a faster route to the nearest code, or null
};

constexpr int kSpreadLanes = 16;
inline double spread_of(const double* lanes) {
  double total = 0;
  for (int l = 0; l < kSpreadLanes; ++l) total += lanes[l] + lanes[kSpreadLanes + l];
  return total;
}

const QuantKernels& quant_kernels();  // of the instruction set in use
const QuantKernels* scalar_kernels();
const QuantKernels* avx2_kernels();    // null where not compiled in
const QuantKernels* avx512_kernels();
const QuantKernels* avx512_bf16_kernels();  // the same, with the filter
const QuantKernels* neon_kernels();
int64_t supported_targets();  // Highway's bits for this machine

// Inserts (score, code) into a list that is sorted by score, after equal ones; drops the last beyond `most`.
inline void insert_top(float score, int32_t code, int most, float* scores, int32_t* codes, int32_t& count) {
  int at = count < most ? count++ : most - 1;
  while (at > 0 && scores[at - 1] > score) {
    scores[at] = scores[at - 1];
    codes[at] = codes[at - 1];
    --at;
  }
  scores[at] = score;
  codes[at] = code;
}

}  // namespace vq
