// A signal may arrive in the middle of any call: children end, profilers sample. Its handler uses the stack.
#include <csignal>
#include <cstring>
#include <sys/time.h>

#include "check.h"
#include "vq/context.h"
#include "vq/convolution.h"
#include "vq/philox.h"

namespace {

volatile sig_atomic_t arrived = 0;
void handler(int) {
  volatile char stack[8192];
  for (char volatile& c : stack) c = static_cast<char>(0xab);
  ++arrived;
}

// Signals every 200 µs of processor time.
class Storm {
 public:
  Storm() {
    struct sigaction action{};
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    sigaction(SIGPROF, &action, &before_);
    const itimerval often{{0, 200}, {0, 200}};
    setitimer(ITIMER_PROF, &often, nullptr);
  }
  ~Storm() {
    const itimerval never{};
    setitimer(ITIMER_PROF, &never, nullptr);
    sigaction(SIGPROF, &before_, nullptr);
  }

 private:
  struct sigaction before_{};
};

struct Product {
  int64_t m, n, k;
  std::vector<float> a, b, want;
};

}  // namespace

VQ_TEST(signals_in_the_middle_of_products_harm_nothing) {
  vq::Context c;
  vq::Philox random(1);
  std::vector<Product> products;
  const int64_t sizes[][3] = {{256, 64, 64}, {480, 256, 256}, {300, 37, 129}, {64, 128, 32}, {700, 200, 128}};
  for (const auto& s : sizes) {
    Product p{s[0], s[1], s[2], std::vector<float>(s[0] * s[2]), std::vector<float>(s[2] * s[1]), std::vector<float>(s[0] * s[1])};
    for (float& v : p.a) v = static_cast<float>(random.below(7)) - 3;  // whole numbers: sums are exact in any order
    for (float& v : p.b) v = static_cast<float>(random.below(7)) - 3;
    for (int64_t i = 0; i < p.m; ++i)
      for (int64_t d = 0; d < p.k; ++d)
        for (int64_t j = 0; j < p.n; ++j) p.want[i * p.n + j] += p.a[i * p.k + d] * p.b[d * p.n + j];
    products.push_back(std::move(p));
  }
  for (int threads : {1, 2}) {
    c.threads = threads;
    const Storm storm;
    const int had = arrived;
    for (int round = 0; round < 1000 || (arrived < had + 20 && round < 20000); ++round) {
      const Product& p = products[round % products.size()];
      std::vector<float> out(p.want.size());
      vq::matrix_product(c, false, false, p.m, p.n, p.k, p.a.data(), p.b.data(), out.data());
      VQ_EXPECT(out == p.want);
    }
    VQ_EXPECT(arrived > had);
  }
}
