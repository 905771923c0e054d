// What the cases of a device compare with: a failure's code and words, beside drawn numbers.
#pragma once
#include <string>

#include "settings.h"
#include "vq/backend.h"

namespace vq_test {

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
