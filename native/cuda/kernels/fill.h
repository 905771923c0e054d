#pragma once
#include "cuda/block.h"

namespace vq::gpu {

template <class T>
struct Fill {
  T value;
  T* out;
  VQ_HD void operator()(int64_t i) const { out[i] = value; }
};

}  // namespace vq::gpu
