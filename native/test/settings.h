// What tests of the quantization kernels share: data, every instruction set and thread count, the words of an error.
#pragma once
#include <string>
#include <vector>

#include "vq/error.h"
#include "vq/isa.h"
#include "vq/philox.h"
#include "vq/quantize.h"

namespace vq_test {

/// n standard normal numbers times `scale`.
inline std::vector<float> draw(size_t n, uint64_t seed, float scale = 1) {
  vq::Philox g(seed);
  std::vector<float> v(n);
  for (float& x : v) x = scale * static_cast<float>(g.normal());
  return v;
}

/// f(name of the instruction set, options) at every instruction set with one, two and three threads; the first is scalar.
template <class F>
void every_setting(F&& f) {
  for (const std::string& name : vq::isa_list())
    for (int threads : {1, 2, 3}) {
      vq::set_isa(name);
      f(name, vq::CallOptions{threads});
    }
  vq::set_isa("auto");
}

template <class F>
std::string message_of(F&& f) {
  try {
    f();
  } catch (const vq::Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace vq_test
