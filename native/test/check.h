#pragma once
#include <cstdio>
#include <vector>

namespace vq_test {
struct Case {
  const char* name;
  void (*run)();
};
std::vector<Case>& cases();
extern int failures;
struct Register {
  Register(const char* name, void (*run)()) { cases().push_back({name, run}); }
};
}  // namespace vq_test

// VQ_TEST(name) { ... VQ_EXPECT(condition); ... }
#define VQ_TEST(name)                                              \
  static void vq_test_##name();                                    \
  static const vq_test::Register vq_register_##name(#name, vq_test_##name); \
  static void vq_test_##name()
#define VQ_EXPECT(condition)                                                             \
  do {                                                                                   \
    if (!(condition)) {                                                                  \
      ++vq_test::failures;                                                               \
      std::printf("%s:%d: expected %s\n", __FILE__, __LINE__, #condition);               \
    }                                                                                    \
  } while (0)
