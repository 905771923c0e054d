// How a kernel is written: as a struct with its arguments, `blocks()`, and `run(block)`, where `block.each(f)` lets every
// thread of the block do f(thread, registers) and then meets a barrier. Control flow outside `each` is the same for all
// threads. On the device each() is the threads themselves and __syncthreads(); on the host (native/emulated) a loop over
// the threads, in whatever order a test wants: a missing barrier or an index outside its array shows without a GPU.
//
//   block.last_of(counter, count)  whether this block is the last of `count` to say so, and a barrier; what the others wrote
//                                  before is then there to read. The counter is 0 before the launch.
//
// For the tensor cores, from sm_80 on:
//   block.fetch(f)                 every thread does f(thread), which copies chunks of 16 bytes by block.copy_chunk(to, from)
//                                  into shared memory, in the background
//   block.arrived<kLeft>()         waits for all fetches but the last kLeft, then a barrier
//   block.warps(f)                 every warp does f(warp, lanes); no barrier after it
//   lanes.each(f)                  every lane does f(lane, registers)
//   lanes.matrices(to, from)       ldmatrix.x4: 8 rows of 16 bytes of four matrices from the addresses from(lane) into the four
//                                  words to(registers)
//   lanes.multiply(sums, rows, columns)   mma.m16n8k16 of bfloat16 on the words that these give of the registers, added to the
//                                  float32 sums
#pragma once
#include "cuda/contract.h"

namespace vq::gpu {

struct Nothing {};

// One thread per element: F is a struct with operator()(int64_t i) const.
template <class F>
struct Elementwise {
  static constexpr int kThreads = 256;
  using Shared = Nothing;
  using Registers = Nothing;
  F f;
  int64_t count;
  int64_t blocks() const { return ceil_div(count, kThreads); }
  template <class Block>
  VQ_HD void run(Block& block) const {
    block.each([&](int thread, Nothing&) {
      const int64_t i = block.index() * kThreads + thread;
      if (i < count) f(i);
    });
  }
};
template <class F>
Elementwise<F> each_of(int64_t count, const F& f) {
  return {f, count};
}

}  // namespace vq::gpu
