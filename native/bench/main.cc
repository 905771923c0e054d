#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>
#include <algorithm>
#include <omp.h>
#include "vq/quantize.h"
#include "vq/philox.h"
#include "vq/isa.h"
#include "bench/probes.h"
using namespace vq;
int main(int argc, char** argv) {
  if (argc > 1) set_isa(argv[1]);
  int shapes[][3] = {{8192,1024,64},{8192,512,64},{65536,256,64},{8192,128,256},{4096,8192,256}};
  for (auto& s : shapes) for (int th = 1; th <= 2; ++th) {
    double fl = vq_bench::fma_gflops(th, 0.1); printf("fma %.1f ", fl); int64_t n = s[0], k = s[1], d = s[2];
    Philox g(1); std::vector<float> x(n*d), c(k*d); for (auto& v : x) v = g.uniform_float()-.5f; for (auto& v : c) v = g.uniform_float()-.5f;
    std::vector<int> idx(n); std::vector<float> dist(n);
    std::vector<double> t;
    for (int i = 0; i < 15; ++i) { auto a = std::chrono::steady_clock::now(); nearest(x.data(), n, d, c.data(), k, Metric::kL2, idx.data(), dist.data(), {th}); t.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now()-a).count()); }
    std::sort(t.begin(), t.end());
    printf("%s n%ld k%ld d%ld t%d  median %.3f ms best %.3f  %.1f GFLOP/s (best %.1f)\n", isa().c_str(), n,k,d,th, t[7]*1e3, t[0]*1e3, 2.0*n*k*d/t[7]/1e9, 2.0*n*k*d/t[0]/1e9);
  }
}
