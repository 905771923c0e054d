// What the cases of a device compare with: drawn numbers, and a failure's code and words.
#pragma once
#include <string>
#include <vector>

#include "vq/backend.h"
#include "vq/error.h"
#include "vq/philox.h"

namespace vq_test {

inline std::vector<float> draw(size_t n, uint64_t seed, float scale = 1) {
  vq::Philox g(seed);
  std::vector<float> v(n);
  for (float& x : v) x = scale * static_cast<float>(g.normal());
  return v;
}

// The reference's failure: its code as the interface has it, and its words.
struct Failure {
  int code = VQ_OK;
  std::string text;
  bool operator==(const Failure& o) const { return code == o.code && text == o.text; }
};
template <class F>
Failure failure_of(F&& f) {
  static const int codes[] = {VQ_ERROR_SHAPE, VQ_ERROR_CONFIG, VQ_ERROR_DEVICE, VQ_ERROR_MEMORY, VQ_ERROR_VALUE};
  try {
    f();
    return {};
  } catch (const vq::Error& e) {
    return {codes[e.code], e.what()};
  }
}
inline Failure failure_of(const vq_backend& b, int code) { return {code, code == VQ_OK ? "" : b.last_error()}; }

}  // namespace vq_test
