// Rows in host memory that pass through the device in blocks: while the device works on one block, the next is copied into
// pinned memory and from there over, on a stream of its own. Two slots take turns. The machine's part of it:
//
//   pin(bytes), unpin(p)                   host memory that a copy engine can read
//   send(slot, to, pinned, bytes)          enqueued behind the slot's last `used`
//   receive(slot), used(slot)              later kernels wait for what was sent; later sends wait for the kernels so far
//   wait_sent(slot), drain()               the host waits until the slot's pinned memory is free; until all is
#pragma once
#include <algorithm>
#include <cstring>

#include "cuda/machine_arrays.h"

namespace vq::gpu {

// Host rows travel as a whole where they take less than this share of the free memory; a call needs some for itself.
constexpr uint64_t kResidentShare = 2;
constexpr uint64_t kBlockBytes = uint64_t{64} << 20;
constexpr int64_t kBlockMultiple = 512;  // rows; the sums of k-means++ are taken by as many

// Rows of a block, or 0 where all rows are to stay on the device. `wanted` forces blocks of about as many; `each` is the
// device memory that a row needs in all.
template <class M>
int64_t rows_per_block(M& machine, int64_t n, int64_t dim, uint64_t each, int64_t wanted) {
  const auto whole = [](int64_t rows) { return std::max<int64_t>(1, rows / kBlockMultiple) * kBlockMultiple; };
  if (wanted > 0) return whole(wanted);
  uint64_t total, free;
  machine.figures(total, free);
  if (static_cast<double>(n) * static_cast<double>(each) <= static_cast<double>(free / kResidentShare)) return 0;
  return whole(static_cast<int64_t>(kBlockBytes / (4 * static_cast<uint64_t>(dim))));
}

template <class M>
class HostRows {
 public:
  HostRows(M& machine, const float* rows, int64_t n, int64_t dim, int64_t block)
      : machine_(machine), rows_(rows), n_(n), dim_(dim), block_(std::min(block, n)), first_(machine, block_ * dim),
        second_(machine, block_ * dim) {
    const uint64_t bytes = static_cast<uint64_t>(block_) * dim * sizeof(float);
    for (int slot = 0; slot < 2; ++slot) machine_.used(slot);  // the copies' stream, too, has the memory from here on
    pinned_[0] = static_cast<float*>(machine_.pin(bytes));
    try {
      pinned_[1] = static_cast<float*>(machine_.pin(bytes));
    } catch (...) {
      machine_.unpin(pinned_[0]);
      throw;
    }
  }
  HostRows(const HostRows&) = delete;
  ~HostRows() {
    machine_.drain();
    for (float* p : pinned_) machine_.unpin(p);
  }
  int64_t block() const { return block_; }
  int64_t blocks() const { return ceil_div(n_, block_); }

  // enqueue(rows on the device, first row, how many) must not wait for the device; settle(first row, how many) may. The
  // next block travels meanwhile.
  template <class F, class G>
  void each(F&& enqueue, G&& settle) {
    stage(0);
    for (int64_t begin = 0, slot = 0; begin < n_; begin += block_, slot = 1 - slot) {
      const int64_t count = std::min(block_, n_ - begin);
      machine_.receive(static_cast<int>(slot));
      enqueue(static_cast<const float*>(device(slot)), begin, count);
      machine_.used(static_cast<int>(slot));
      if (begin + block_ < n_) stage(begin + block_);
      settle(begin, count);
    }
  }

 private:
  float* device(int64_t slot) const { return slot ? second_.data() : first_.data(); }
  void stage(int64_t begin) {
    const int slot = static_cast<int>(begin / block_ % 2);
    const uint64_t bytes = static_cast<uint64_t>(std::min(block_, n_ - begin)) * dim_ * sizeof(float);
    machine_.wait_sent(slot);
    std::memcpy(pinned_[slot], rows_ + begin * dim_, bytes);
    machine_.send(slot, device(slot), pinned_[slot], bytes);
  }

  M& machine_;
  const float* rows_;
  int64_t n_, dim_, block_;
  Array<M, float> first_, second_;
  float* pinned_[2] = {};
};

}  // namespace vq::gpu
