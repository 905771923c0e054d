// vq_native_bench fma|copy [--threads T] [--seconds S]   the machine's limits, as one JSON line
// vq_native_bench nearest [--n N --k K --dim D --seconds S]   one thread in processor time; without N the five shapes
// vq_native_bench ladder [--n N --k K --dim D --threads T]   nearest, from the plain loop to the widest vectors
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "bench/probes.h"
#include "vq/isa.h"
#include "vq/philox.h"
#include "vq/quantize.h"
#include "vq/threads.h"

namespace {

double option(int argc, char** argv, const char* name, double otherwise) {
  for (int i = 2; i + 1 < argc; ++i)
    if (std::strcmp(argv[i], name) == 0) return std::atof(argv[i + 1]);
  return otherwise;
}

template <class F>
double median_seconds(F&& f) {
  std::vector<double> all;
  for (int i = 0; i < 9; ++i) {
    const auto start = std::chrono::steady_clock::now();
    f();
    all.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(all.begin() + 2, all.end());  // two to warm up
  return all[5];
}

// What one writes first: a row, a code, a loop.
void naive(const float* x, int64_t n, int64_t dim, const float* codes, int64_t k, int32_t* out) {
  for (int64_t i = 0; i < n; ++i) {
    float best = std::numeric_limits<float>::infinity();
    for (int64_t c = 0; c < k; ++c) {
      float s = 0;
      for (int64_t d = 0; d < dim; ++d) s += (x[i * dim + d] - codes[c * dim + d]) * (x[i * dim + d] - codes[c * dim + d]);
      if (s < best) best = s, out[i] = static_cast<int32_t>(c);
    }
  }
}

int ladder(int64_t n, int64_t k, int64_t dim, int threads) {
  vq::Philox random(1);
  std::vector<float> x(n * dim), codes(k * dim);
  for (float& v : x) v = static_cast<float>(random.normal());
  for (float& v : codes) v = static_cast<float>(random.normal());
  const double limit = vq_bench::fma_gflops(threads, 0.2), work = 2e-9 * static_cast<double>(n * k * dim);
  std::printf("nearest, %ld x %ld x %ld, %d threads, FMA limit %.0f GFLOP/s\n", static_cast<long>(n),
              static_cast<long>(k), static_cast<long>(dim), threads, limit);
  std::vector<int32_t> plain(n), want, got(n);
  const auto line = [&](const char* name, double seconds) {
    std::printf("%-24s %10.3f ms %8.1f GFLOP/s %5.1f%%\n", name, seconds * 1e3, work / seconds, 100 * work / seconds / limit);
  };
  line("naive, one thread", median_seconds([&] { naive(x.data(), n, dim, codes.data(), k, plain.data()); }));
  int differs = 0;
  for (const std::string& isa : vq::isa_list()) {
    vq::set_isa(isa);
    line(("packed, " + isa).c_str(), median_seconds([&] {
           vq::nearest(x.data(), n, dim, codes.data(), k, vq::Metric::kL2, got.data(), nullptr, {threads});
         }));
    if (want.empty()) want = got;
    differs += want != got;
  }
  int64_t same = 0;
  for (int64_t i = 0; i < n; ++i) same += plain[i] == want[i];
  std::printf("naive agrees with the contract on %ld of %ld rows; instruction sets that differ: %d\n",
              static_cast<long>(same), static_cast<long>(n), differs);
  return differs;
}

// One thread's share of the FMA limit, in processor time, so that other programs disturb it little.
void nearest_share(int64_t n, int64_t k, int64_t dim, double seconds) {
  vq::Philox random(1);
  std::vector<float> x(n * dim), codes(k * dim);
  for (float& v : x) v = static_cast<float>(random.normal());
  for (float& v : codes) v = static_cast<float>(random.normal());
  std::vector<int32_t> indices(n);
  std::vector<float> distances(n);
  const double work = 2e-9 * static_cast<double>(n * k * dim);
  for (float* out : {static_cast<float*>(nullptr), distances.data()}) {
    std::vector<double> rates, shares;
    double before = vq_bench::fma_gflops_alone(0.005);
    for (double spent = 0; spent < seconds || rates.size() < 9;) {
      const double start = vq_bench::thread_seconds();
      vq::nearest(x.data(), n, dim, codes.data(), k, vq::Metric::kL2, indices.data(), out, {1});
      const double took = vq_bench::thread_seconds() - start, after = vq_bench::fma_gflops_alone(0.005);
      rates.push_back(work / took);
      shares.push_back(2 * work / took / (before + after));
      before = after, spent += took;
    }
    std::sort(rates.begin(), rates.end()), std::sort(shares.begin(), shares.end());
    std::printf("nearest %ld x %ld x %ld%s: median %.3f ms, %.1f GFLOP/s, %.1f%% of the FMA limit (best tenth %.1f%%)\n",
                static_cast<long>(n), static_cast<long>(k), static_cast<long>(dim), out ? " with distances" : "",
                1e3 * work / rates[rates.size() / 2], rates[rates.size() / 2], 100 * shares[shares.size() / 2],
                100 * shares[shares.size() * 9 / 10]);
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  const int threads = static_cast<int>(option(argc, argv, "--threads", vq::max_threads()));
  const double seconds = option(argc, argv, "--seconds", 0.2);
  if (what == "fma") {
    std::printf("{\"threads\":%d,\"gflops\":%.2f}\n", threads, vq_bench::fma_gflops(threads, seconds));
  } else if (what == "copy") {
    std::printf("{\"threads\":%d,\"gbytes\":%.2f}\n", threads, vq_bench::copy_gbytes(threads, seconds));
  } else if (what == "nearest") {
    const std::vector<std::vector<int64_t>> shapes = {
        {8192, 1024, 64}, {8192, 512, 64}, {65536, 256, 64}, {8192, 128, 256}, {4096, 8192, 256}};
    const auto n = static_cast<int64_t>(option(argc, argv, "--n", 0));
    for (const auto& s : shapes)
      if (n == 0) nearest_share(s[0], s[1], s[2], seconds);
    if (n > 0)
      nearest_share(n, static_cast<int64_t>(option(argc, argv, "--k", 512)),
                    static_cast<int64_t>(option(argc, argv, "--dim", 64)), seconds);
  } else if (what == "ladder") {
    return ladder(static_cast<int64_t>(option(argc, argv, "--n", 2048)), static_cast<int64_t>(option(argc, argv, "--k", 512)),
                  static_cast<int64_t>(option(argc, argv, "--dim", 64)), threads);
  } else {
    std::printf("usage: vq_native_bench fma|copy|ladder|nearest [--threads T] [--seconds S] [--n N --k K --dim D]\n");
    return 1;
  }
  return 0;
}
