#include "cpu/code_filter.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cpu/row_blocks.h"

namespace vq {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr double kUnit = 1.0 / (1 << 24);     // half a unit in the last place of 1
constexpr int64_t kLongest = 1 << 18;         // elements; the bound's first-order terms hold up to here
constexpr int64_t kCentreCodes = 64;          // the centre is the mean of so many codes: any point is a valid one
constexpr int kPairsAtOnce = 64;              // scored together
constexpr int64_t kFullBlock = 1 << 16;       // floats of codes packed at once for rows that are scored in full

// At least the root of a sum of `dim` squares that was added in float32, in any order.
double root_of(double sum, int64_t dim) {
  return std::sqrt(sum * (1 + 2 * static_cast<double>(dim + 4) * kUnit) + static_cast<double>(dim) * 0x1p-140);
}

}  // namespace

int64_t CodeFilter::bytes() const {
  return static_cast<int64_t>(packed_.bytes() + bias_.bytes() + exact_bias_.bytes() + norms_.bytes() + centre_.bytes());
}

int64_t CodeFilter::bytes_per_row(int64_t dim) { return 4 * pairs_of(dim) + 4 * (3 * kFilterLanes + kFilterPanel + 4); }

void CodeFilter::pack(const float* codes, int64_t k, int64_t dim, Metric metric, int threads, const QuantKernels& q,
                      FirstRow& bad) {
  const FilterKernels& f = *q.filter;
  const int64_t pairs = pairs_of(dim), panels = (k + kFilterPanel - 1) / kFilterPanel;
  if (k_ != k || dim_ != dim) {
    packed_.reset(static_cast<size_t>(panels * kFilterPanel) * pairs);
    bias_.reset(static_cast<size_t>(panels) * kFilterPanel);
    exact_bias_.reset(static_cast<size_t>(k));
    centre_.reset(static_cast<size_t>(dim));
  }
  norms_.reset(metric == Metric::kCosine ? static_cast<size_t>(k) : 0);
  q_ = &q, codes_ = codes, k_ = k, dim_ = dim, panels_ = panels, metric_ = metric;

  const auto norms_of = [&](const float* from, int64_t count, float* out) {
    const float* rows[kFilterPanel];
    for (int64_t i = 0; i < count; ++i) rows[i] = from + i * dim;
    q.squared(rows, nullptr, count, dim, out);
  };
  const bool cosine = metric == Metric::kCosine;
  if (cosine)
    for (int64_t at = 0; at < k; at += kFilterPanel) {
      const int64_t count = std::min<int64_t>(kFilterPanel, k - at);
      norms_of(codes + at * dim, count, norms_.data() + at);
      for (int64_t i = at; i < at + count; ++i) {
        norms_[i] = std::sqrt(norms_[i]);
        if (!std::isfinite(norms_[i])) bad.note(i);
      }
    }

  const int64_t stride = std::max<int64_t>(1, k / kCentreCodes), used = (k + stride - 1) / stride;
  double shift = 0;
  {
    Scratch<float> unit(cosine ? dim : 0);
    std::fill_n(centre_.data(), dim, 0.0f);
    for (int64_t i = 0; i < k; i += stride) {
      const float* e = codes + i * dim;
      if (cosine) unit_code(i, unit.data()), e = unit.data();
      for (int64_t d = 0; d < dim; ++d) centre_[d] += e[d];
    }
    double norm = 0;
    for (int64_t d = 0; d < dim; ++d) {
      centre_[d] /= static_cast<float>(used);
      norm += static_cast<double>(centre_[d]) * centre_[d];
    }
    shift = std::sqrt(norm);
  }

  Scratch<float> norm(static_cast<size_t>(panels) * kFilterPanel), error(static_cast<size_t>(panels) * kFilterPanel);
  const int64_t grain = std::max<int64_t>(1, (1 << 17) / (dim * kFilterPanel));
  parallel_for(panels, grain, threads, [&](int64_t begin, int64_t end) {
    Scratch<float> unit(cosine ? kFilterPanel * dim : 0);
    Scratch<uint32_t> rounded(kFilterPanel * pairs);
    for (int64_t p = begin; p < end; ++p) {
      const int64_t first = p * kFilterPanel, count = std::min<int64_t>(kFilterPanel, k - first);
      const float* from = codes + first * dim;
      if (cosine) {
        for (int64_t i = 0; i < count; ++i) unit_code(first + i, unit.data() + i * dim);
        from = unit.data();
      }
      norms_of(from, count, exact_bias_.data() + first);  // halved below
      for (int64_t i = 0; i < count; ++i)
        if (!std::isfinite(exact_bias_[first + i]) && !finite(from + i * dim, dim)) bad.note(first + i);
      f.round(from, count, dim, centre_.data(), true, rounded.data(), norm.data() + first, error.data() + first);
      // A pair of bfloat16 is as wide as a float32: the kernel that lays out panels of those serves here too.
      q.pack(reinterpret_cast<const float*>(rounded.data()), count, pairs, 0, false,
             reinterpret_cast<float*>(packed_.data() + first * pairs), bias_.data() + first);
      for (int64_t i = 0; i < kFilterPanel; ++i)
        bias_[first + i] = i >= count ? kInf : metric == Metric::kL2 ? 0.5f * norm[first + i] : 0.0f;
    }
  });
  double whole = 0, centred = 0, changed = 0;
  for (int64_t i = 0; i < k; ++i) {
    // A sum that overflowed is not a number or infinite, and stays so in the maximum.
    const auto larger = [](double a, double b) { return a > b ? a : b; };
    if (!std::isfinite(norm[i]) || !std::isfinite(error[i])) whole = kInf;
    whole = larger(exact_bias_[i], whole), centred = larger(norm[i], centred), changed = larger(error[i], changed);
    exact_bias_[i] = metric == Metric::kL2 ? 0.5f * exact_bias_[i] : 0.0f;
  }
  const bool l2 = metric == Metric::kL2;
  const auto up = [](double v) { return static_cast<float>(v * (1 + 1e-6)); };
  whole = root_of(whole, dim), centred = root_of(centred, dim);
  changed = root_of(changed, dim) + 2 * kUnit * centred;  // the subtraction of the centre was rounded too
  bound_.grow = up(1 + 2 * static_cast<double>(dim + 4) * kUnit);
  bound_.floor = static_cast<float>(dim) * 0x1p-140f;
  bound_.shift = l2 ? up(shift) : 0.0f;
  bound_.whole = up(whole), bound_.centred = up(centred), bound_.changed = up(changed);
  bound_.half_whole = l2 ? up(0.5 * whole * whole) : 0.0f;
  bound_.half_centred = l2 ? up(0.5 * centred * centred) : 0.0f;
  bound_.sums = up(4 * static_cast<double>(dim + 4) * kUnit);
  bound_.tiny = static_cast<float>(dim + 4) * 0x1p-120f;
  usable_ = dim <= kLongest && std::isfinite(whole) && std::isfinite(centred) && std::isfinite(shift);
}

void CodeFilter::unit_code(int64_t k, float* out) const {
  const float *e = codes_ + k * dim_, norm = norms_[k];
  for (int64_t d = 0; d < dim_; ++d) out[d] = norm == 0 ? 0.0f : e[d] / norm;
}

CodeFilter::Space::Space(const CodeFilter& filter, int64_t most)
    : rows(most),
      rounded(most * pairs_of(filter.dim_)),
      norm(most),
      error(most),
      best(most * kFilterLanes),
      second(most * kFilterLanes),
      partial(most * kFilterPanel),
      some(most),
      all(most),
      arg(most * kFilterLanes) {}

void CodeFilter::assign_in_full(const float* x, int64_t count, Space& space, int32_t* codes, float* scores,
                                float* norms) const {
  const QuantKernels& q = *q_;
  const int64_t at_once =
      std::min((k_ + q.panel - 1) / q.panel, std::max<int64_t>(1, kFullBlock / (q.panel * dim_))) * q.panel;
  if (space.panels.size() == 0) {
    space.panels.reset(at_once * dim_);
    space.panel_bias.reset(at_once);
    space.chunk_scores.reset(space.rows);
    space.chunk_codes.reset(space.rows);
  }
  std::fill_n(scores, count, kInf);
  std::fill_n(codes, count, 0);
  Scratch<float> best(count * q.state), partial(count * q.panel), unit(metric_ == Metric::kCosine ? q.panel * dim_ : 0);
  Scratch<int32_t> arg(count * q.state);
  for (int64_t first = 0; first < k_; first += at_once) {
    const int64_t some = std::min(at_once, k_ - first), panels = (some + q.panel - 1) / q.panel;
    for (int64_t p = 0; p < panels; ++p) {
      const int64_t from = first + p * q.panel, held = std::min<int64_t>(q.panel, k_ - from);
      for (int64_t i = 0; i < held && metric_ == Metric::kCosine; ++i) unit_code(from + i, unit.data() + i * dim_);
      float* bias = space.panel_bias.data() + p * q.panel;
      q.pack(metric_ == Metric::kCosine ? unit.data() : codes_ + from * dim_, held, dim_, 0, true,
             space.panels.data() + p * q.panel * dim_, bias);
      if (metric_ != Metric::kL2) std::fill_n(bias, held, 0.0f);
    }
    q.assign(x, count, dim_, space.panels.data(), space.panel_bias.data(), panels, best.data(), arg.data(),
             partial.data(), space.chunk_codes.data(), space.chunk_scores.data());
    for (int64_t i = 0; i < count; ++i)
      if (space.chunk_scores[i] < scores[i])
        scores[i] = space.chunk_scores[i], codes[i] = static_cast<int32_t>(first) + space.chunk_codes[i];
  }
  if (!norms) return;
  const float* rows[kPairsAtOnce];
  for (int64_t i = 0; i < count; i += kPairsAtOnce) {
    const int64_t some = std::min<int64_t>(kPairsAtOnce, count - i);
    for (int64_t j = 0; j < some; ++j) rows[j] = x + (i + j) * dim_;
    q.squared(rows, nullptr, some, dim_, norms + i);
  }
}

void CodeFilter::assign(const float* x, int64_t count, Space& space, int32_t* codes, float* scores, float* norms,
                        bool exact) const {
  if (!usable_ || !space.selective) return assign_in_full(x, count, space, codes, scores, norms);
  const FilterKernels& f = *q_->filter;
  f.round(x, count, dim_, metric_ == Metric::kL2 ? centre_.data() : nullptr, false, space.rounded.data(), space.norm.data(),
          space.error.data());
  f.scan(space.rounded.data(), count, pairs_of(dim_), packed_.data(), bias_.data(), panels_, space.best.data(),
         space.second.data(), space.arg.data(), space.partial.data());
  f.decide(space.best.data(), space.second.data(), space.norm.data(), space.error.data(), count, bound_, scores,
           space.some.data(), space.all.data());

  // Pairs of a row and a code that may be its nearest.
  const float *left[kPairsAtOnce], *right[kPairsAtOnce];
  float start[kPairsAtOnce], score[kPairsAtOnce], norm[kPairsAtOnce];
  int64_t row_of[kPairsAtOnce];
  int32_t code_of[kPairsAtOnce];
  int held = 0;
  Scratch<float> unit(metric_ == Metric::kCosine ? kPairsAtOnce * dim_ : 0);
  const auto flush = [&] {
    q_->scores(left, right, start, held, dim_, score, norms ? norm : nullptr);
    for (int i = 0; i < held; ++i) {
      const int64_t r = row_of[i];
      if (score[i] < scores[r] || (score[i] == scores[r] && code_of[i] < codes[r])) scores[r] = score[i], codes[r] = code_of[i];
      if (norms) norms[r] = norm[i];
    }
    held = 0;
  };
  const auto propose = [&](int64_t row, int64_t code) {
    left[held] = x + row * dim_, right[held] = codes_ + code * dim_;
    if (metric_ == Metric::kCosine) unit_code(code, unit.data() + held * dim_), right[held] = unit.data() + held * dim_;
    start[held] = exact_bias_[code], row_of[held] = row, code_of[held] = static_cast<int32_t>(code);
    if (++held == kPairsAtOnce) flush();
  };

  const int64_t vectors = (k_ + kFilterLanes - 1) / kFilterLanes;
  int64_t proposed = 0;
  const int64_t most = count * std::max<int64_t>(8, k_ / 16);  // beyond, scoring in full costs less
  for (int64_t i = 0; i < count; ++i) {
    const int32_t* arg = space.arg.data() + i * kFilterLanes;
    uint32_t some = space.some[i];
    const uint32_t all = space.all[i];
    codes[i] = 0;
    if (!exact && all == 0 && (some & (some - 1)) == 0) {
      const int lane = __builtin_ctz(some);
      codes[i] = arg[lane] * kFilterLanes + lane;
      continue;
    }
    scores[i] = kInf;
    for (; some; some &= some - 1) {
      const int lane = __builtin_ctz(some);
      if (!(all >> lane & 1)) {
        propose(i, arg[lane] * kFilterLanes + lane), ++proposed;
        continue;
      }
      for (int64_t v = 0; v < vectors; ++v)
        if (v * kFilterLanes + lane < k_) propose(i, v * kFilterLanes + lane), ++proposed;
    }
    if (proposed > most) {
      space.selective = false;
      return assign_in_full(x, count, space, codes, scores, norms);
    }
  }
  if (held) flush();
}

}  // namespace vq
