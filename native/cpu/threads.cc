#include "vq/threads.h"

#include <omp.h>

#include <algorithm>

namespace vq {

int max_threads() { return omp_get_num_procs(); }

void parallel_for(int64_t n, int64_t grain, int threads, const std::function<void(int64_t, int64_t)>& body) {
  if (n <= 0) return;
  const int64_t most = std::max<int64_t>(1, n / std::max<int64_t>(1, grain));
  const int parts = static_cast<int>(std::min<int64_t>(std::max(1, threads), most));
  if (parts == 1) return body(0, n);
  std::exception_ptr first;
#pragma omp parallel num_threads(parts)
  {
    const int64_t t = omp_get_thread_num(), p = omp_get_num_threads();
    try {
      body(n * t / p, n * (t + 1) / p);
    } catch (...) {
#pragma omp critical
      if (!first) first = std::current_exception();
    }
  }
  if (first) std::rethrow_exception(first);
}

}  // namespace vq
