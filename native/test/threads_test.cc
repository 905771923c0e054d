#include <atomic>
#include <stdexcept>
#include <thread>

#include "check.h"
#include "vq/threads.h"

VQ_TEST(every_item_is_done_once_whoever_calls) {
  std::vector<std::thread> callers;
  std::atomic<int> wrong{0};
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&, c] {
      for (int round = 0; round < 300; ++round) {
        const int64_t n = 1 + (round * 37 + c) % 100;
        std::vector<int> seen(n);
        vq::parallel_for(n, 1, 1 + round % 5, [&](int64_t begin, int64_t end) {
          for (int64_t i = begin; i < end; ++i) ++seen[i];
          // A kernel inside a kernel runs where it is.
          vq::parallel_for(2, 1, 2, [&](int64_t, int64_t) {});
        });
        for (int64_t i = 0; i < n; ++i) wrong += seen[i] != 1;
      }
    });
  for (std::thread& t : callers) t.join();
  VQ_EXPECT(wrong == 0);
}

VQ_TEST(the_exception_of_a_part_reaches_the_caller_after_all_parts_ended) {
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> begun{0}, ended{0};
    bool caught = false;
    try {
      vq::parallel_for(4, 1, 4, [&](int64_t begin, int64_t) {
        ++begun;
        if (begin == round % 4) throw std::runtime_error("part");
        ++ended;
      });
    } catch (const std::runtime_error&) {
      caught = true;
    }
    VQ_EXPECT(caught && begun == 4 && ended == 3);
  }
  int64_t sum = 0;
  vq::parallel_for(10, 100, 4, [&](int64_t begin, int64_t end) { sum += end - begin; });
  vq::parallel_for(0, 1, 4, [&](int64_t, int64_t) { sum = -1; });
  VQ_EXPECT(sum == 10);
}
