// Whether two ways to scan (FilterScan and another) say the same of a small problem: how a kernel that some device may run
// otherwise than it should is found out before it is relied on.
#pragma once
#include <cmath>

#include "cuda/code_filter.h"
#include "vq/philox.h"

namespace vq::gpu {

// What a scan left on the device.
template <class M>
struct ScanResult {
  ScanResult(M& m, const ScanArrays& a)
      : listed(fetch(m, a.listed, a.row_tiles * kTileRows * a.splits * kListed)),
        counts(fetch(m, a.counts, a.row_tiles * kTileRows * a.splits)),
        least(fetch(m, a.least, a.row_tiles * kTileRows * a.splits)) {}
  std::vector<Candidate> listed;
  std::vector<int32_t> counts, least;

  // Of one list: every entry that a score within `slack` cannot exclude is in the other's, with nearly that score.
  bool covers(const ScanResult& other, int64_t list, float slack) const {
    const Candidate *mine = listed.data() + list * kListed, *theirs = other.listed.data() + list * kListed;
    for (int32_t i = 0; i < other.counts[list]; ++i) {
      if (!(theirs[i].low + 2 * slack <= of_rank(other.least[list]))) continue;
      bool found = false;
      for (int32_t j = 0; j < counts[list] && !found; ++j)
        found = mine[j].position == theirs[i].position && std::fabs(mine[j].low - theirs[i].low) <= slack;
      if (!found) return false;
    }
    return true;
  }
  // Sums in another order differ by a small part of the bound.
  bool agrees(const ScanResult& other, int64_t list) const {
    if (counts[list] < 1 || counts[list] > kListed || other.counts[list] < 1 || other.counts[list] > kListed) return false;
    const float high = of_rank(least[list]);
    float low = high;
    for (int32_t i = 0; i < counts[list]; ++i) low = std::min(low, listed[list * kListed + i].low);
    const float slack = (high - low) / 4;
    return std::fabs(high - of_rank(other.least[list])) <= slack && covers(other, list, slack) && other.covers(*this, list, slack);
  }
};

template <class M, class One, class Other>
bool scans_agree(M& m, int64_t dim, One&& one, Other&& other) {
  constexpr int64_t n = 300, k = 1100;  // three tiles and nine
  Philox random(1);
  std::vector<float> values(static_cast<size_t>((n + k) * dim));
  for (float& v : values) v = static_cast<float>(random.normal());
  Array<M, float> x(m, n * dim), codes(m, k * dim), bias(m, k);
  Array<M, int32_t> indices(m, n);
  Firsts<M, 1> bad(m);
  put(m, x.data(), values.data(), n * dim);
  put(m, codes.data(), values.data() + n * dim, k * dim);
  m.launch(RowNorms{codes.data(), k, dim, RowNorms::kHalf, RowNorms::kNever, bias.data(), 1, nullptr});
  const Nearest full{x.data(), n, dim, codes.data(), k, Kind::kL2, nullptr, nullptr, bias.data(), indices.data(), 1, nullptr,
                     bad.cell(0)};
  bool same = true;
  CodeFilter<M>(m, full).assign(full, [&](const ScanArrays& a) {
    m.launch(each_of(a.row_tiles * kTileRows * a.splits * kListed, Fill<Candidate>{{0, 0}, a.listed}));  // all is read
    other(a);
    const ScanResult<M> theirs(m, a);
    one(a);
    const ScanResult<M> mine(m, a);
    for (int64_t list = 0; list < a.n * a.splits; ++list) same = same && mine.agrees(theirs, list);
  });
  return same;
}

}  // namespace vq::gpu
