// What the entropy terms of lookup-free quantization share: groups of bits, and the probabilities of their codes.
//
// A group's distribution is the outer product of those of its upper and its lower half (cpu/lfq_entropy.cc). Each half's codes
// are taken 64 at a time. A row's 64 probabilities are products of two numbers from a table of 16: entry e < 8 has the bits
// that are the tile's own and three more, entry 8 + e the lowest three.
#pragma once
#include "cuda/block.h"
#include "vq/lfq.h"

namespace vq::gpu {

constexpr int kLfqMostBits = 26;                    // of a group
constexpr int kLfqTileBits = 6, kLfqCodes = 64;     // of a tile, of half a code each
constexpr int kLfqEntries = 16;
constexpr int kLfqPitch = 2 * kLfqMostBits + 1;     // a row's probabilities, spread over the banks

struct LfqHalf {
  int first, bits;  // of the group's bits
  VQ_HD int codes() const { return 1 << bits; }
  VQ_HD int tiles() const { return (codes() + kLfqCodes - 1) / kLfqCodes; }
  VQ_HD int inside() const { return bits < kLfqTileBits ? bits : kLfqTileBits; }  // bits that differ within a tile
  VQ_HD int above() const { return bits - inside(); }
};

struct LfqGroups {
  int64_t bits, group;
  VQ_HD int64_t count() const { return ceil_div(bits, group); }
  VQ_HD int held(int64_t index) const { return static_cast<int>(least(group, bits - index * group)); }
  VQ_HD LfqHalf high(int64_t index) const { return {0, (held(index) + 1) / 2}; }
  VQ_HD LfqHalf low(int64_t index) const { return {(held(index) + 1) / 2, held(index) / 2}; }
  VQ_HD int64_t tiles(int64_t index) const { return int64_t{high(index).tiles()} * low(index).tiles(); }
  VQ_HD int64_t all_tiles() const { return (count() - 1) * tiles(0) + tiles(count() - 1); }
  VQ_HD int64_t table(int64_t index) const { return index << group; }  // where its table begins
  VQ_HD int64_t table_size() const { return table(count() - 1) + (int64_t{1} << held(count() - 1)); }
};

// An entry of the table of this tile from a row's probabilities p[2 bit + value]. Codes that there are not get 0.
VQ_HD float lfq_entry(const float* p, const LfqHalf& half, int tile, int entry) {
  const int inside = half.inside(), lowest = inside < 3 ? inside : 3, middle = inside - lowest, above = half.above();
  const bool low = entry >= 8;
  const int value = entry & 7, width = low ? lowest : middle, from = half.first + above + (low ? middle : 0);
  if (value >> width != 0) return 0.0f;
  float product = 1.0f;
  if (!low)
    for (int j = 0; j < above; ++j) product = product * p[2 * (half.first + j) + ((tile >> (above - 1 - j)) & 1)];
  for (int j = 0; j < width; ++j) product = product * p[2 * (from + j) + ((value >> (width - 1 - j)) & 1)];
  return product;
}

constexpr int kLfqEach = 4;  // a thread has 4 x 4 sums of a tile's products
struct LfqSums {
  float sum[kLfqEach][kLfqEach], total[kLfqEach][kLfqEach];
  VQ_HD void clear() {
    VQ_UNROLL
    for (int i = 0; i < kLfqEach; ++i)
      VQ_UNROLL
      for (int j = 0; j < kLfqEach; ++j) sum[i][j] = 0, total[i][j] = 0;
  }
  // sum[i][j] += left[k][i] right[k][j] for so many k, as rows of 64 and `pitch` elements.
  VQ_HD void add(const float* left, const float* right, int pitch, int count) {
    for (int k = 0; k < count; ++k) {
      float mine[kLfqEach], theirs[kLfqEach];
      VQ_UNROLL
      for (int i = 0; i < kLfqEach; ++i) mine[i] = left[k * kLfqCodes + i], theirs[i] = right[k * pitch + i];
      VQ_UNROLL
      for (int i = 0; i < kLfqEach; ++i)
        VQ_UNROLL
        for (int j = 0; j < kLfqEach; ++j) sum[i][j] = fused(mine[i], theirs[j], sum[i][j]);
    }
  }
  // The sums so far end here: none gets long.
  VQ_HD void keep() {
    VQ_UNROLL
    for (int i = 0; i < kLfqEach; ++i)
      VQ_UNROLL
      for (int j = 0; j < kLfqEach; ++j) total[i][j] = total[i][j] + sum[i][j], sum[i][j] = 0;
  }
};

}  // namespace vq::gpu
