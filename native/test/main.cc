// Native tests: small checks of the C++ core that JavaScript cannot reach. Exit status 0 means all passed.
#include <cstdio>

#include "check.h"

namespace vq_test {
std::vector<Case>& cases() {
  static std::vector<Case> all;
  return all;
}
int failures = 0;
}  // namespace vq_test

int main() {
  for (const auto& c : vq_test::cases()) {
    const int before = vq_test::failures;
    c.run();
    std::printf("%s %s\n", vq_test::failures == before ? "ok  " : "FAIL", c.name);
  }
  std::printf("%zu native tests, %d failures\n", vq_test::cases().size(), vq_test::failures);
  return vq_test::failures == 0 && !vq_test::cases().empty() ? 0 : 1;
}
