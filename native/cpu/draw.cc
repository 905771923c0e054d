// One token for each row of logits, drawn among those that may come.
// Holtzman et al. 2019, https://arxiv.org/abs/1904.09751, section 3.1 (nucleus); Fan et al. 2018, https://arxiv.org/abs/1805.04833
// (likeliest k); Ho and Salimans 2022, https://arxiv.org/abs/2207.12598, equation 6 (guidance).
#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <vector>

#include "vq/op.h"
#include "vq/threads.h"
#include "vq/window.h"

namespace vq {
namespace {

struct Drawing {
  double temperature;
  int64_t top_k;
  double top_p;
};

// The first of n weights whose running sum passes `share` of their total; where rounding leaves none the last above 0.
int64_t drawn(const double* weights, int64_t n, double share) {
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += weights[i];
  double left = share * total;
  int64_t last = 0;
  for (int64_t i = 0; i < n; ++i) {
    left -= weights[i];
    if (left < 0) return i;
    if (weights[i] > 0) last = i;
  }
  return last;
}

// How many of the weights, likeliest first, may be drawn.
int64_t kept(const std::vector<double>& sorted, const Drawing& how) {
  const int64_t most = std::min<int64_t>(how.top_k, static_cast<int64_t>(sorted.size()));
  if (how.top_p == 1) return most;
  const double total = std::accumulate(sorted.begin(), sorted.begin() + most, 0.0);
  double sum = 0;
  for (int64_t i = 0; i < most; ++i) {
    sum += sorted[i];
    if (sum >= how.top_p * total) return i + 1;
  }
  return most;
}

// Room of one thread.
struct Candidates {
  std::vector<double> scores, sorted;
  std::vector<int64_t> order;
};

// −1 where the logits say nothing: one is NaN, or none is finite, or one is infinite.
int64_t draw(const Drawing& how, double share, Candidates& c) {
  const int64_t n = static_cast<int64_t>(c.scores.size());
  int64_t best = 0;
  bool numbers = true;
  for (int64_t i = 0; i < n; ++i) {
    if (c.scores[i] > c.scores[best]) best = i;
    numbers &= !std::isnan(c.scores[i]);
  }
  const double top = c.scores[best];
  if (!numbers || !std::isfinite(top)) return -1;
  if (how.temperature == 0) return best;
  const auto weight = [&](double score) { return std::exp((score - top) / how.temperature); };
  if (how.top_k >= n && how.top_p == 1) {
    for (double& s : c.scores) s = weight(s);
    return drawn(c.scores.data(), n, share);
  }
  // By scores, not weights: where exp rounds decides nothing.
  c.order.resize(n);
  std::iota(c.order.begin(), c.order.end(), int64_t{0});
  std::sort(c.order.begin(), c.order.end(), [&](int64_t a, int64_t b) {
    return c.scores[a] > c.scores[b] || (c.scores[a] == c.scores[b] && a < b);
  });
  c.sorted.resize(n);
  for (int64_t i = 0; i < n; ++i) c.sorted[i] = weight(c.scores[c.order[i]]);
  return c.order[drawn(c.sorted.data(), kept(c.sorted, how), share)];
}

}  // namespace

// Arguments: rows, classes, guidance (1: none, else logits has the conditioned rows, then as many without the condition), temperature,
// top k, top p, first, end, how many others, logits, others, random words (two a row), how often each id is written, ids. Answers −1,
// or the first row whose logits say nothing.
VQ_OP(DrawTokens) {
  const int64_t rows = args.integer(), classes = args.integer();
  const float guidance = args.real();
  Drawing how;
  how.temperature = args.number();
  how.top_k = args.integer();
  how.top_p = args.number();
  const int64_t first = args.integer(), end = args.integer(), others = args.integer();
  check(rows >= 0 && classes >= 1 && others >= 0, "no logits to draw from");
  check(first >= 0 && first <= end && end <= classes && end - first + others > 0, "no token may come");
  if (!(how.temperature >= 0) || how.top_k < 1 || !(how.top_p > 0 && how.top_p <= 1)) fail(Error::kValue, "a way to draw that is none");
  const bool guided = guidance != 1;
  const float* logits = args.tensor<float>(checked_product({rows, classes, guided ? 2 : 1}));
  const int32_t* also = args.tensor<int32_t>(others);
  const int32_t* words = args.tensor<int32_t>(checked_product({rows, 2}));
  const int64_t copies = args.integer();
  check(copies >= 1, "ids are written once at least");
  int32_t* ids = args.tensor<int32_t>(checked_product({rows, copies}));
  for (int64_t i = 0; i < others; ++i) check(also[i] >= 0 && also[i] < classes, "a token that is none");
  const int64_t n = end - first + others;
  const auto id_at = [&](int64_t i) { return i < end - first ? first + i : also[i - (end - first)]; };
  std::atomic<int64_t> bad{rows};
  parallel_for(rows, std::max<int64_t>(1, (1 << 12) / n), args.ctx.threads, [&](int64_t b, int64_t e) {
    Candidates c;
    for (int64_t r = b; r < e; ++r) {
      const float *known = logits + r * classes, *free = known + rows * classes;
      c.scores.resize(n);
      for (int64_t i = 0; i < n; ++i) {
        const int64_t id = id_at(i);
        // Two infinities have no difference.
        c.scores[i] = guided && known[id] != free[id] ? free[id] + (known[id] - free[id]) * guidance : known[id];
      }
      const double high = static_cast<uint32_t>(words[2 * r]) >> 5, low = static_cast<uint32_t>(words[2 * r + 1]) >> 6;
      const int64_t at = draw(how, (high * 67108864 + low) * 0x1p-53, c);
      if (at < 0) {
        int64_t least = bad.load();
        while (r < least && !bad.compare_exchange_weak(least, r)) {
        }
        return;
      }
      const int32_t id = static_cast<int32_t>(id_at(at));
      for (int64_t k = 0; k < copies; ++k) ids[k * rows + r] = id;
    }
  });
  args.answer(bad < rows ? static_cast<double>(bad) : -1);
}

}  // namespace vq
