// How many threads a kernel may use, and how a range is split among them.
#pragma once
#include <cstdint>
#include <exception>
#include <functional>

namespace vq {

int max_threads();  // what the machine offers

// Runs body(begin, end) over [0, n) in contiguous chunks of at least `grain` items on up to `threads` threads. The
// split never changes a result: kernels give each output to one thread. The first exception is rethrown.
void parallel_for(int64_t n, int64_t grain, int threads, const std::function<void(int64_t, int64_t)>& body);

}  // namespace vq
