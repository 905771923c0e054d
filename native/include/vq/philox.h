// Philox4x32-10, a counter-based generator: block i of stream s is a pure function of (seed, s, i).
// Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011, section 4.3.
// The TypeScript twin draws the same numbers in the same order.
#pragma once
#include <array>
#include <cmath>
#include <cstdint>

namespace vq {

using PhiloxBlock = std::array<uint32_t, 4>;

inline PhiloxBlock philox4x32(PhiloxBlock c, uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c[0], p1 = uint64_t{0xCD9E8D57u} * c[2];
    c = {static_cast<uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<uint32_t>(p1),
         static_cast<uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<uint32_t>(p0)};
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c;
}

// Which numbers: those of stream `stream` under key `seed`.
struct PhiloxPosition {
  uint64_t seed = 0, stream = 0;
};

class Philox {
 public:
  explicit Philox(uint64_t seed, uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  uint32_t next() {
    if (used_ == 4) {
      out_ = philox4x32({static_cast<uint32_t>(block_), static_cast<uint32_t>(block_ >> 32),
                         static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)},
                        static_cast<uint32_t>(seed_), static_cast<uint32_t>(seed_ >> 32));
      ++block_;
      used_ = 0;
    }
    return out_[used_++];
  }
  // In [0, 1): 24 random bits.
  float uniform_float() { return static_cast<float>(next() >> 8) * 0x1p-24f; }
  // In [0, 1): 53 random bits from two outputs.
  double uniform() {
    const uint32_t a = next(), b = next();
    return (static_cast<double>(a >> 5) * 67108864.0 + static_cast<double>(b >> 6)) * 0x1p-53;
  }
  // Standard normal, by Box and Muller: two doubles give a cosine and then a sine.
  double normal() {
    if (spare_) return spare_ = false, sine_;
    const double u1 = uniform(), u2 = uniform();
    const double r = std::sqrt(-2.0 * std::log(1.0 - u1)), angle = 6.283185307179586 * u2;
    sine_ = r * std::sin(angle);
    spare_ = true;
    return r * std::cos(angle);
  }
  // A whole number in [0, n).
  int64_t below(int64_t n) {
    const int64_t i = static_cast<int64_t>(uniform() * static_cast<double>(n));
    return i < n ? i : n - 1;
  }

 private:
  uint64_t seed_, stream_, block_ = 0;
  PhiloxBlock out_{};
  int used_ = 4;
  bool spare_ = false;
  double sine_ = 0;
};

}  // namespace vq
