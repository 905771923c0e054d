// The entropies of lookup-free quantization in one kernel: a block has a tile of 64 x 64 of a group's codes and some of the
// rows, and adds up p_high(row) p_low(row) like a matrix product whose factors are made on the way. N x 2^bits never exists.
//
// Sums have a fixed order: 256 rows in float32, those sums in float32, the parts of the rows in double by the tile's last
// block, tiles and parts of the rows' entropies in double by the last block of all. How rows are parted hangs on the sizes
// alone, so the result is the same in every run and on every device. Given the log odds kappa z in float32, with r rows to a
// part the mean distribution is off by about (256 + r / 256 + 3 bits + 8) 2^-24 of itself at most: that many roundings meet
// any of its terms. A row's entropy is off by 4 bits 2^-24. What is measured: native/test/device_entropy_cases.cc.
#pragma once
#include "cuda/kernels/lfq_groups.h"

namespace vq::gpu {

struct LfqEntropy {
  static constexpr int kThreads = 256, kBlocksAtOnce = 3, kRows = 32, kEach = kLfqEach, kAcross = kLfqCodes / kEach;
  static constexpr int kKept = 8;  // chunks of kRows rows whose sum is kept apart
  struct Shared {
    float p[kRows * kLfqPitch];
    float entries[kRows][2 * kLfqEntries];  // of the upper half's tile, of the lower half's
    alignas(16) float high[kRows][kLfqCodes];
    alignas(16) float low[kRows][kLfqCodes];
    double lanes[kThreads];
  };
  struct Registers {
    LfqSums product;  // [high][low]
    double entropy;
  };
  const float* z;
  int64_t n;
  LfqGroups groups;
  float kappa;
  int64_t parts, part_rows;  // a multiple of kRows
  float* partial;            // [parts, table]
  double* entropies;         // [groups, parts]
  double* diversities;       // [tiles of all groups]
  int32_t* done;             // [tiles of all groups + 1], zeros
  int64_t* bad;              // the first row that is not finite
  float *table, *entropy, *diversity;
  VQ_HD int64_t blocks() const { return groups.all_tiles() * parts; }

  template <class Block>
  VQ_HD void run(Block& block) const {
    Shared& s = block.shared();
    const int64_t tile = block.index() / parts, part = block.index() % parts;
    const int64_t group = least(tile / groups.tiles(0), groups.count() - 1), inside = tile - group * groups.tiles(0);
    const LfqHalf high = groups.high(group), low = groups.low(group);
    const int high_tile = static_cast<int>(inside / low.tiles()), low_tile = static_cast<int>(inside % low.tiles());
    const int64_t end = least(n, (part + 1) * part_rows);
    float* mine = partial + part * groups.table_size() + groups.table(group);

    block.each([&](int, Registers& r) {
      r.entropy = 0;
      r.product.clear();
    });
    int chunk = 0;
    for (int64_t first = part * part_rows; first < end; first += kRows) {
      const int rows = static_cast<int>(least(kRows, end - first));
      block.each([&](int thread, Registers& r) { measure(s, thread, r, group, first, rows, inside == 0); });
      block.each([&](int thread, Registers&) {
        for (int i = thread; i < kRows * 2 * kLfqEntries; i += kThreads) {
          const int row = i / (2 * kLfqEntries), e = i % (2 * kLfqEntries);
          const bool upper = e < kLfqEntries;
          s.entries[row][e] = row >= rows ? 0.0f
                                          : lfq_entry(s.p + row * kLfqPitch, upper ? high : low, upper ? high_tile : low_tile,
                                                      e % kLfqEntries);
        }
      });
      block.each([&](int thread, Registers&) {
        for (int i = thread; i < kRows * kLfqCodes; i += kThreads) {
          const int row = i / kLfqCodes, code = i % kLfqCodes;
          const float* e = s.entries[row];
          s.high[row][code] = e[code >> 3] * e[8 + (code & 7)];
          s.low[row][code] = e[kLfqEntries + (code >> 3)] * e[kLfqEntries + 8 + (code & 7)];
        }
      });
      const bool keep = ++chunk % kKept == 0;
      block.each([&](int thread, Registers& r) {
        r.product.add(s.high[0] + thread / kAcross * kEach, s.low[0] + thread % kAcross * kEach, kLfqCodes, kRows);
        if (keep) r.product.keep();
      });
    }
    block.each([&](int thread, Registers& r) {
      r.product.keep();
      const int h = high_tile * kLfqCodes + thread / kAcross * kEach, l = low_tile * kLfqCodes + thread % kAcross * kEach;
      VQ_UNROLL
      for (int i = 0; i < kEach; ++i)
        VQ_UNROLL
        for (int j = 0; j < kEach; ++j)
          if (h + i < high.codes() && l + j < low.codes())
            mine[int64_t{h + i} * low.codes() + l + j] = r.product.total[i][j];
      s.lanes[thread] = r.entropy;
    });
    if (inside == 0) {
      add_lanes(block);
      block.each([&](int thread, Registers&) {
        if (thread == 0) entropies[group * parts + part] = s.lanes[0];
      });
    }
    if (!block.last_of(done + tile, static_cast<int32_t>(parts))) return;
    block.each([&](int thread, Registers&) { s.lanes[thread] = join(thread, group, high, low, high_tile, low_tile); });
    add_lanes(block);
    block.each([&](int thread, Registers&) {
      if (thread == 0) diversities[tile] = s.lanes[0];
    });
    const int64_t tiles = groups.all_tiles();
    if (!block.last_of(done + tiles, static_cast<int32_t>(tiles))) return;
    total(block, entropies, groups.count() * parts);
    block.each([&](int thread, Registers&) {
      if (thread == 0) *entropy = static_cast<float>(s.lanes[0] / static_cast<double>(n));
    });
    total(block, diversities, tiles);
    block.each([&](int thread, Registers&) {
      if (thread == 0) *diversity = static_cast<float>(s.lanes[0]);
    });
  }

 private:
  // The probabilities of some rows' bits; once per row its entropy, and whether it is finite.
  VQ_HD void measure(Shared& s, int thread, Registers& r, int64_t group, int64_t first, int rows, bool once) const {
    const int held = groups.held(group);
    for (int i = thread; i < kRows * held; i += kThreads) {
      const int row = i % kRows, bit = i / kRows;
      if (row >= rows) continue;
      const float v = z[(first + row) * groups.bits + group * groups.group + bit];
      const float h = lfq_probabilities(lfq_log_odds(kappa, v), s.p + row * kLfqPitch + 2 * bit);
      if (!once) continue;
      if (!finite(v)) note_first(bad, first + row);
      r.entropy += static_cast<double>(h);
    }
  }
  // A thread's share of a tile: the parts become the mean distribution, that its table and its entropy.
  VQ_HD double join(int thread, int64_t group, const LfqHalf& high, const LfqHalf& low, int high_tile, int low_tile) const {
    const int wide = 1 << low.inside(), codes = wide << high.inside();
    const int64_t size = groups.table_size();
    double mine = 0;
    for (int i = thread; i < codes; i += kThreads) {
      const int64_t h = high_tile * kLfqCodes + i / wide, l = low_tile * kLfqCodes + i % wide;
      const int64_t at = groups.table(group) + h * low.codes() + l;
      double sum = 0;
      int64_t part = 0;
      constexpr int kAtOnce = 8;  // loads on their way
      for (; part + kAtOnce <= parts; part += kAtOnce) {
        float v[kAtOnce];
        VQ_UNROLL
        for (int k = 0; k < kAtOnce; ++k) v[k] = partial[(part + k) * size + at];
        VQ_UNROLL
        for (int k = 0; k < kAtOnce; ++k) sum += static_cast<double>(v[k]);
      }
      for (; part < parts; ++part) sum += static_cast<double>(partial[part * size + at]);
      // A code that no row can mean has neither a part in the entropy nor a finite slope.
      const float mean = static_cast<float>(sum / static_cast<double>(n)), p = mean > kLfqLeast ? mean : kLfqLeast;
      mine -= static_cast<double>(p) * static_cast<double>(natural_log(p));
      table[at] = lfq_slope(p);
    }
    return mine;
  }
  template <class Block>
  VQ_HD void total(Block& block, const double* values, int64_t count) const {
    Shared& s = block.shared();
    block.each([&](int thread, Registers&) {
      double sum = 0;
      for (int64_t i = thread; i < count; i += kThreads) sum += values[i];
      s.lanes[thread] = sum;
    });
    add_lanes(block);
  }
  // Their sum comes into the first.
  template <class Block>
  VQ_HD static void add_lanes(Block& block) {
    Shared& s = block.shared();
    for (int half = kThreads / 2; half > 0; half /= 2)
      block.each([&](int thread, Registers&) {
        if (thread < half) s.lanes[thread] += s.lanes[thread + half];
      });
  }
};

}  // namespace vq::gpu
