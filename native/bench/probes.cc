#include <omp.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/probes.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace vq_bench {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Twelve independent chains hide the latency of every core that we know. Returns flops; `sink` keeps the result alive.
double Fma(int64_t rounds, float* sink) {
  const hn::ScalableTag<float> f;
  const auto a = hn::Set(f, 0.5f), b = hn::Set(f, 0.25f);
  auto c0 = hn::Iota(f, 0), c1 = c0, c2 = c0, c3 = c0, c4 = c0, c5 = c0, c6 = c0, c7 = c0, c8 = c0, c9 = c0, c10 = c0,
       c11 = c0;
  for (int64_t i = 0; i < rounds; ++i) {
    c0 = hn::MulAdd(c0, a, b), c1 = hn::MulAdd(c1, a, b), c2 = hn::MulAdd(c2, a, b), c3 = hn::MulAdd(c3, a, b);
    c4 = hn::MulAdd(c4, a, b), c5 = hn::MulAdd(c5, a, b), c6 = hn::MulAdd(c6, a, b), c7 = hn::MulAdd(c7, a, b);
    c8 = hn::MulAdd(c8, a, b), c9 = hn::MulAdd(c9, a, b), c10 = hn::MulAdd(c10, a, b), c11 = hn::MulAdd(c11, a, b);
#if defined(__GNUC__) && HWY_ARCH_X86
    asm volatile("" : "+x"(c0.raw), "+x"(c1.raw), "+x"(c2.raw), "+x"(c3.raw), "+x"(c4.raw), "+x"(c5.raw));
    asm volatile("" : "+x"(c6.raw), "+x"(c7.raw), "+x"(c8.raw), "+x"(c9.raw), "+x"(c10.raw), "+x"(c11.raw));
#endif
  }
  const auto s = hn::Add(hn::Add(hn::Add(c0, c1), hn::Add(c2, c3)), hn::Add(hn::Add(c4, c5), hn::Add(c6, c7)));
  *sink = hn::GetLane(hn::Add(s, hn::Add(hn::Add(c8, c9), hn::Add(c10, c11))));
  return 2.0 * 12 * static_cast<double>(hn::Lanes(f)) * static_cast<double>(rounds);
}

}  // namespace HWY_NAMESPACE
}  // namespace vq_bench
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "bench/probes.h"

namespace vq_bench {
HWY_EXPORT(Fma);

namespace {
double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
}  // namespace

double thread_seconds() {
#ifdef CLOCK_THREAD_CPUTIME_ID
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
#else
  return now();
#endif
}

double fma_gflops_alone(double seconds) {
  float sink = 0;
  double done = 0;
  const double start = thread_seconds();
  while (thread_seconds() - start < seconds) done += HWY_DYNAMIC_DISPATCH(Fma)(40000, &sink);
  return (done + 0 * sink) / (thread_seconds() - start) / 1e9;
}

double fma_gflops(int threads, double seconds) {
  std::vector<double> flops(threads);
  // A sleeping core takes milliseconds to wake: not into the figure.
  const double waking = now();
#pragma omp parallel num_threads(threads)
  {
    float sink = 0;
    while (now() - waking < 0.01) flops[omp_get_thread_num()] = 0 * sink + HWY_DYNAMIC_DISPATCH(Fma)(1000, &sink);
  }
  const double start = now();
#pragma omp parallel num_threads(threads)
  {
    float sink = 0;
    double done = 0;
    while (now() - start < seconds) done += HWY_DYNAMIC_DISPATCH(Fma)(20000, &sink);
    flops[omp_get_thread_num()] = done + 0 * sink;
  }
  const double spent = now() - start;
  double total = 0;
  for (double f : flops) total += f;
  return total / spent / 1e9;
}

double copy_gbytes(int threads, double seconds) {
  const size_t bytes = size_t{128} << 20;
  std::vector<char> from(bytes, 1), to(bytes, 2);
  double moved = 0;
  const double start = now();
  while (now() - start < seconds) {
#pragma omp parallel num_threads(threads)
    {
      const size_t t = omp_get_thread_num(), p = omp_get_num_threads();
      const size_t b = bytes * t / p, e = bytes * (t + 1) / p;
      std::memcpy(to.data() + b, from.data() + b, e - b);
    }
    moved += 2.0 * static_cast<double>(bytes);
  }
  return moved / (now() - start) / 1e9;
}

}  // namespace vq_bench
#endif
