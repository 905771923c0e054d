#include "vq/threads.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "cpu/signal_shield.h"

namespace vq {
namespace {

using Body = std::function<void(int64_t, int64_t)>;

// One call of parallel_for. It lives on its caller's stack: others touch it only between claiming a part and counting it
// as done, and the caller leaves when every part is done.
struct Job {
  const Body& body;
  const int64_t n;
  const int parts;
  int next = 0;  // parts that were claimed; the pool's mutex guards it
  std::atomic<int> done{0};
  std::exception_ptr first;  // guarded likewise
};

void pause() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Looks for a while before it gives up; a thread that sleeps takes far longer to come back than most kernels take.
template <class F>
bool spin_until(F&& ready) {
  constexpr std::chrono::microseconds kPatience{50};
  const auto start = std::chrono::steady_clock::now();
  do {
    for (int i = 0; i < 32; ++i) {
      if (ready()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() - start < kPatience);
  return ready();
}

// Threads that help whoever calls. A caller never waits for a part that nobody has begun: it does that part itself, so
// that a machine busy with other work costs no more than its own share.
class Pool {
 public:
  void run(int64_t n, int parts, const Body& body) {
    Job job{body, n, parts};
    {
      std::lock_guard<std::mutex> lock(mutex_);
      grow(parts - 1);
      jobs_.push_back(&job);
      open_ += parts;
    }
    for (int helpers = std::min(parts - 1, asleep_.load()); helpers > 0; --helpers) wake_.notify_one();
    for (int part; (part = claim(&job)) >= 0;) work(job, part);
    const auto finished = [&] { return job.done.load(std::memory_order_acquire) == parts; };
    if (!spin_until(finished)) {
      std::unique_lock<std::mutex> lock(mutex_);
      ++waiting_;
      // Looks again by itself: glibc's condition variables may lose a notification (its bug 25847), seen here on a loaded
      // machine. A notification that a helper loses costs its help with one job, no more.
      while (!finished_.wait_for(lock, std::chrono::milliseconds(5), finished)) {
      }
      --waiting_;
    }
    if (job.first) std::rethrow_exception(job.first);
  }

 private:
  // The next part of `job`, or -1.
  int claim(Job* job) {
    std::lock_guard<std::mutex> lock(mutex_);
    return take(job);
  }

  int take(Job* job) {
    if (job->next == job->parts) return -1;
    --open_;
    const int part = job->next++;
    if (job->next == job->parts) jobs_.erase(std::find(jobs_.begin(), jobs_.end(), job));
    return part;
  }

  void work(Job& job, int part) {
    try {
      job.body(job.n * part / job.parts, job.n * (part + 1) / job.parts);
    } catch (...) {
      std::lock_guard<std::mutex> lock(mutex_);
      if (!job.first) job.first = std::current_exception();
    }
    const int parts = job.parts;
    if (job.done.fetch_add(1, std::memory_order_acq_rel) + 1 < parts) return;
    // The job may be gone by now. Who waits has said so under the mutex before it looked again.
    std::lock_guard<std::mutex> lock(mutex_);
    if (waiting_ > 0) finished_.notify_all();
  }

  // Called with the mutex held. Where no more threads can be had, those that exist do the work.
  void grow(int helpers) {
    if (threads_ >= helpers) return;
    const SignalShield shield;  // they inherit it
    try {
      for (; threads_ < helpers; ++threads_) std::thread([this] { help(); }).detach();
    } catch (const std::system_error&) {
    }
  }

  void help() {
    inside = true;
    for (;;) {
      spin_until([&] { return open_.load(std::memory_order_relaxed) > 0; });
      Job* job;
      int part;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        ++asleep_;
        // Not wait(): that of a new C++ library is in no older one.
        while (!wake_.wait_for(lock, std::chrono::hours(1), [&] { return !jobs_.empty(); })) {
        }
        --asleep_;
        job = jobs_.front();
        part = take(job);
      }
      work(*job, part);
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, finished_;
  std::deque<Job*> jobs_;  // those with parts that nobody has claimed
  std::atomic<int> open_{0}, asleep_{0};
  int threads_ = 0, waiting_ = 0;

 public:
  static thread_local bool inside;  // helpers run what they are given alone
};
thread_local bool Pool::inside = false;

Pool& pool() {
  static Pool* const shared = new Pool;  // never deleted: its threads end with the process
  return *shared;
}

}  // namespace

int max_threads() { return static_cast<int>(std::max(1u, std::thread::hardware_concurrency())); }

void parallel_for(int64_t n, int64_t grain, int threads, const Body& body) {
  if (n <= 0) return;
  const int64_t most = std::max<int64_t>(1, n / std::max<int64_t>(1, grain));
  const int parts = static_cast<int>(std::min<int64_t>(std::max(1, threads), most));
  if (parts == 1 || Pool::inside) return body(0, n);
  pool().run(n, parts, body);
}

}  // namespace vq
