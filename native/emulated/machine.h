// A device that is this program: kernels run block by block, each phase as a loop over the block's threads in an order that
// a test chooses. What a kernel may not rely on is made wrong on purpose: the order of blocks and of threads between two
// barriers, and what shared memory, registers and new buffers hold.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "cuda/table.h"
#include "emulated/warp.h"

namespace vq::gpu {

enum class Order : int { kAscending, kDescending, kShuffled };

class EmulatedMachine {
 public:
  static inline std::atomic<int> order{0};        // of threads and blocks
  static inline std::atomic<int64_t> live{0};     // allocations not released, of all machines
  static inline std::atomic<int64_t> fail_in{-1}; // this many allocations from now on one fails; -1: none does

  static inline std::atomic<int64_t> filter_rows{1 << 17};
  static inline std::atomic<float> share{1};      // of the filter's bound
  static inline std::atomic<bool> filters{false};  // whatever the sizes
  static inline std::atomic<int64_t> filtered{0}, undecided{0};  // rows that met the filter, rows that it left

  struct Stream {};
  struct Event {
    std::chrono::steady_clock::time_point at;
  };

  explicit EmulatedMachine(int device) {
    if (device != 0) fail(Error::kDevice, "there is no device " + std::to_string(device));
  }
  static int count(vq_versions& versions) {
    versions = {13000, 13000};
    return 1;
  }
  static vq_device_info info(int device) {
    if (device != 0) fail(Error::kDevice, "there is no device " + std::to_string(device));
    vq_device_info i{};
    std::strcpy(i.name, "emulated on the processor, for tests");
    i.compute_major = 9, i.processors = 1, i.memory = uint64_t{1} << 30;
    return i;
  }

  int64_t processors() const { return 2; }
  bool has_tensor_cores() const { return true; }
  int64_t most_filter_rows() const { return filter_rows; }
  float bound_share() const { return share; }
  bool always_filters() const { return filters; }
  void prepare_scan() {}
  void scan(const ScanArrays& a, bool) { launch(FilterScan{a}); }

  void use(Stream*) {}
  void synchronize() {}
  void figures(uint64_t& total, uint64_t& free) { total = free = uint64_t{1} << 30; }
  Stream* make_stream() { return new Stream; }
  void drop(Stream* s) { delete s; }
  Event* make_event() { return new Event{}; }
  void drop(Event* e) { delete e; }
  void record(Event* e) { e->at = std::chrono::steady_clock::now(); }
  float elapsed(Event* a, Event* b) { return std::chrono::duration<float, std::milli>(b->at - a->at).count(); }

  void* allocate(uint64_t bytes) {
    if (fail_in >= 0 && fail_in-- == 0) fail(Error::kMemory, "out of device memory");
    void* p = bytes <= (uint64_t{1} << 34) ? std::malloc(bytes) : nullptr;
    if (!p) fail(Error::kMemory, "out of device memory");
    std::memset(p, 0xFF, bytes);  // NaN as a float, -1 as an index
    ++live;
    return p;
  }
  void release(void* p) {
    std::free(p);
    --live;
  }
  void* reserve(uint64_t bytes) { return allocate(bytes); }
  void give_up(void* p) { release(p); }
  void upload(void* to, const void* from, uint64_t bytes) { std::memcpy(to, from, bytes); }
  void download(void* to, const void* from, uint64_t bytes) { std::memcpy(to, from, bytes); }
  void copy(void* to, const void* from, uint64_t bytes) { std::memmove(to, from, bytes); }

  // What is sent arrives at once, or as late as it may.
  void* pin(uint64_t bytes) { return allocate(bytes); }
  void unpin(void* p) { release(p); }
  void send(int slot, void* to, const void* pinned, uint64_t bytes) {
    sent_[slot] = {to, pinned, bytes};
    std::memset(to, 0xFF, bytes);
    if (order == static_cast<int>(Order::kAscending)) receive(slot);
  }
  void receive(int slot) {
    if (sent_[slot].to) std::memcpy(sent_[slot].to, sent_[slot].from, sent_[slot].bytes);
    sent_[slot] = {};
  }
  void used(int) {}
  void wait_sent(int slot) { receive(slot); }
  void drain() { receive(0), receive(1); }

  void sort_pairs(const int32_t* keys, const int32_t* values, int32_t* keys_out, int32_t* values_out, int64_t count, int bits) {
    std::vector<int64_t> at(static_cast<size_t>(count));
    std::iota(at.begin(), at.end(), 0);
    const int32_t mask = bits >= 31 ? -1 : (1 << bits) - 1;
    std::stable_sort(at.begin(), at.end(), [&](int64_t a, int64_t b) { return (keys[a] & mask) < (keys[b] & mask); });
    for (int64_t i = 0; i < count; ++i) keys_out[i] = keys[at[i]], values_out[i] = values[at[i]];
  }

  template <class Kernel>
  void launch(const Kernel& kernel) {
    const int64_t blocks = kernel.blocks();
    Block<Kernel> block;
    for (int64_t i = 0; i < blocks; ++i) {
      block.begin(order == static_cast<int>(Order::kAscending) ? i : blocks - 1 - i);
      kernel.run(block);
    }
    if constexpr (std::is_same_v<Kernel, Nearest>)
      if (kernel.chosen) filtered += kernel.n, undecided += *kernel.chosen_count;
  }

 private:
  struct Sent {
    void* to = nullptr;
    const void* from = nullptr;
    uint64_t bytes = 0;
  };
  Sent sent_[2];

  template <class Kernel>
  class Block {
   public:
    using Shared = typename Kernel::Shared;
    using Registers = typename Kernel::Registers;
    static constexpr int kThreads = Kernel::kThreads;
    Block() : shared_(new Shared), registers_(kThreads), turn_(kThreads) {
      std::iota(turn_.begin(), turn_.end(), 0);
      if (order == static_cast<int>(Order::kDescending)) std::reverse(turn_.begin(), turn_.end());
    }
    void begin(int64_t index) {
      index_ = index;
      std::memset(static_cast<void*>(shared_.get()), 0xFF, sizeof(Shared));
      std::memset(static_cast<void*>(registers_.data()), 0x7B, sizeof(Registers) * kThreads);
      fetches_.clear();
    }
    int64_t index() const { return index_; }
    Shared& shared() { return *shared_; }
    template <class F>
    void each(F&& f) {
      if (order == static_cast<int>(Order::kShuffled)) shuffle();
      for (int thread : turn_) f(thread, registers_[thread]);
    }
    bool last_of(int32_t* counter, int32_t count) { return ++*counter == count; }
    template <class F>
    void warps(F&& f) {
      static_assert(kThreads % 32 == 0, "whole warps");
      const bool up = order == static_cast<int>(Order::kAscending);
      for (int i = 0; i < kThreads / 32; ++i) {
        const int warp = up ? i : kThreads / 32 - 1 - i;
        EmulatedWarp<Registers> lanes(registers_.data() + warp * 32);
        f(warp, lanes);
      }
    }
    // Copies happen as late as they may.
    template <class F>
    void fetch(F&& f) {
      fetches_.emplace_back();
      for (int thread : turn_) f(thread);
    }
    void copy_chunk(void* to, const void* from) { fetches_.back().push_back({to, from}); }
    template <int kLeft>
    void arrived() {
      while (fetches_.size() > kLeft) {
        for (const auto& [to, from] : fetches_.front()) std::memcpy(to, from, 16);
        fetches_.erase(fetches_.begin());
      }
    }

   private:
    void shuffle() {
      for (int i = kThreads - 1; i > 0; --i) {
        seed_ = seed_ * 6364136223846793005u + 1442695040888963407u;
        std::swap(turn_[i], turn_[static_cast<int>((seed_ >> 33) % static_cast<uint64_t>(i + 1))]);
      }
    }
    int64_t index_ = 0;
    std::unique_ptr<Shared> shared_;
    std::vector<Registers> registers_;
    std::vector<int> turn_;
    std::vector<std::vector<std::pair<void*, const void*>>> fetches_;
    uint64_t seed_ = 88172645463325252u;
  };
};

}  // namespace vq::gpu
