// Nearest code of many rows among many codes: the tensor cores leave the few codes of each row that a proven bound cannot
// exclude (kernels/filter_bound.h), these are scored by the contract, and rows that the filter cannot decide are scored in
// full. The result is that of kernels/nearest.h bit for bit.
//
// Working memory: half the codebook's bytes, its rows padded to 64 elements and its codes to a multiple of 128, and 28 bytes
// per code; for the rows of one launch, at most 2^17 of them or one block per multiprocessor, 2 bytes per padded element and
// 528 per row, the latter times the blocks that share a row where there are few; and 16 bytes per row of the call.
#pragma once
#include <algorithm>

#include "cuda/kernels/filter_rescore.h"
#include "cuda/kernels/nearest.h"
#include "cuda/machine_arrays.h"

namespace vq::gpu {

enum class Route : int32_t { kAuto = 0, kFull = 1, kFilter = 2, kFilterMma = 3 };

template <class M>
class CodeFilter {
 public:
  // Whether the filter is there and pays. Per row and code scoring in full takes D multiply-adds at 128 a clock and
  // multiprocessor; the filter D at 1,024 (sm_80) or 2,048 (sm_90) and about four operations for the bound, so from D = 32 on
  // there is something to win. Beside that it reads, rounds and writes every row, and scores about two codes of it exactly
  // from memory: some 20 D operations per row, small beside K D from K = 512 on. Preparing the codes and seven more launches
  // take some 30 microseconds, in which a large device does 2^30 multiply-adds in full: twice that is asked for.
  static bool suits(const M& machine, Route route, int64_t n, int64_t k, int64_t dim) {
    if (route == Route::kFull || !machine.has_tensor_cores() || dim > kFilterLongest || n > INT32_MAX) return false;
    if (route != Route::kAuto || machine.always_filters()) return true;
    return dim >= 32 && k >= 512 && static_cast<double>(n) * static_cast<double>(k) * static_cast<double>(dim) >= 0x1p31;
  }

  // From `full` with its codes; they must stay as they are.
  CodeFilter(M& machine, const Nearest& full)
      : machine_(machine),
        k_(full.k),
        dim_(full.dim),
        tiles_(tiles_of(full.k)),
        codes_(machine, tiles_ * parts_of(full.dim) * kTileElements),
        bias_(machine, tiles_ * kTileRows),
        centre_(machine, full.dim),
        bounds_(machine, tiles_),
        common_(machine, 1),
        undecided_count_(machine, 1) {
    const int64_t positions = tiles_ * kTileRows;
    const bool l2 = full.kind == Kind::kL2;
    Array<M, float> whole(machine, positions), squared(machine, positions), change(machine, positions);
    machine.launch(each_of(dim_, FilterCentre{full.codes, full.code_norms, k_, dim_, centre_.data()}));
    machine.launch(each_of(1, FilterShift{centre_.data(), dim_, l2, common_.data()}));
    machine.launch(RoundRows{full.codes, full.code_norms, centre_.data(), k_, dim_, tiles_, true, codes_.data(), whole.data(),
                             squared.data(), change.data()});
    machine.launch(FilterCodes{k_, dim_, tiles_, full.kind, whole.data(), squared.data(), change.data(), machine.bound_share(),
                               bias_.data(), bounds_.data(), common_.data()});
  }

  // What `full` would do, where scan(arrays) is FilterScan or as good.
  template <class Scan>
  void assign(const Nearest& full, Scan&& scan) const {
    const int64_t n = full.n, parts = parts_of(dim_), most = rows_at_once(n);
    const int64_t tiles = tiles_of(most), splits = splits_of(tiles), positions = tiles * kTileRows;
    Array<M, uint16_t> rows(machine_, tiles * parts * kTileElements);
    Array<M, float> squared(machine_, positions), change(machine_, positions);
    Array<M, Candidate> listed(machine_, positions * splits * kListed);
    Array<M, int32_t> counts(machine_, positions * splits), least(machine_, positions * splits), undecided(machine_, n);
    Array<M, int64_t> keys(machine_, n);
    Array<M, float> norms(machine_, n);
    machine_.launch(each_of(1, Fill<int32_t>{0, undecided_count_.data()}));
    for (int64_t begin = 0; begin < n; begin += most) {
      const int64_t count = std::min(most, n - begin);
      const float* x = full.x + begin * dim_;
      const float* x_norms = full.x_norms ? full.x_norms + begin : nullptr;
      const ScanArrays a{rows.data(), squared.data(), change.data(), count, tiles_of(count), dim_, codes_.data(),
                         bias_.data(), bounds_.data(), common_.data(), tiles_, splits, listed.data(), counts.data(), least.data()};
      machine_.launch(RoundRows{x, x_norms, full.kind == Kind::kL2 ? centre_.data() : nullptr, count, dim_, a.row_tiles, false,
                                rows.data(), nullptr, squared.data(), change.data()});
      scan(a);
      machine_.launch(FilterRescore{a, x, full.codes, full.kind, x_norms, full.code_norms, full.bias,
                                    full.indices + begin * full.stride, full.stride,
                                    full.distances ? full.distances + begin : nullptr, begin, undecided.data(),
                                    undecided_count_.data(), keys.data()});
    }
    Nearest rest = full;
    rest.chosen = undecided.data(), rest.chosen_count = undecided_count_.data();
    rest.keys = keys.data(), rest.norms = norms.data(), rest.most_blocks = 8 * machine_.processors();
    machine_.launch(rest);
    machine_.launch(each_of(n, SharedNearest{rest}));
  }

 private:
  // Whole waves of blocks of 256 rows.
  int64_t rows_at_once(int64_t n) const {
    const int64_t wave = machine_.processors() * 2 * kTileRows, bytes = 2 * parts_of(dim_) * kTileDepth;
    const int64_t room = std::min(machine_.most_filter_rows(), (int64_t{1} << 28) / bytes);
    return std::max<int64_t>(1, std::min(n, std::max<int64_t>(1, room / wave) * wave));
  }
  // Few rows share their codes among more blocks, each with some tiles to learn from.
  int64_t splits_of(int64_t row_tiles) const {
    return std::max<int64_t>(1, std::min({2 * machine_.processors() / row_tiles, tiles_ / 4, int64_t{64}}));
  }

  M& machine_;
  int64_t k_, dim_, tiles_;
  Array<M, uint16_t> codes_;
  Array<M, float> bias_, centre_;
  Array<M, CodeBound> bounds_;
  Array<M, FilterCommon> common_;
  Array<M, int32_t> undecided_count_;
};

}  // namespace vq::gpu
