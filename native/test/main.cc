// Native tests: small checks of the C++ core that JavaScript cannot reach. Exit status 0 means all passed.
#include <chrono>
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
    const auto begun = std::chrono::steady_clock::now();
    c.run();
    const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - begun;
    std::printf("%s %6.2f s %s\n", vq_test::failures == before ? "ok  " : "FAIL", spent.count(), c.name);
    std::fflush(stdout);
  }
  std::printf("%zu native tests, %d failures\n", vq_test::cases().size(), vq_test::failures);
  return vq_test::failures == 0 && !vq_test::cases().empty() ? 0 : 1;
}
