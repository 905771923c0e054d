// What the machine can do at most: fused multiply-adds and memory copies.
#pragma once

namespace vq_bench {
double fma_gflops(int threads, double seconds);   // widest vectors, all registers busy
double fma_gflops_alone(double seconds);          // on this thread, in its own processor time
double thread_seconds();                          // processor time of this thread, untouched by what else runs
double copy_gbytes(int threads, double seconds);  // bytes read plus written, arrays larger than the caches
}
