// Where in Philox's numbers a kernel draws from, and what it keeps.
#pragma once
#include <cmath>
#include <cstdint>

#include "vq/op.h"
#include "vq/philox.h"

namespace vq {

struct Dropout {
  PhiloxPosition at;
  uint64_t block = 0;      // the first one
  uint32_t threshold = 0;  // words whose upper 24 bits are below it are dropped
  float keep = 1;          // what the others are multiplied with
};

// The next six arguments: low and high 32 bits of seed, stream and first block.
inline PhiloxPosition philox_position(Args& args, uint64_t& block) {
  const auto word = [&] {
    const uint64_t low = static_cast<uint64_t>(args.integer()) & 0xffffffffu;
    return low | (static_cast<uint64_t>(args.integer()) & 0xffffffffu) << 32;
  };
  PhiloxPosition at;
  at.seed = word();
  at.stream = word();
  block = word();
  return at;
}

// Arguments: rate in [0, 1), then the position.
inline Dropout dropout_arguments(Args& args) {
  const double rate = args.number();
  if (!(rate >= 0 && rate < 1)) fail(Error::kValue, "dropout rate outside [0, 1)");
  Dropout d;
  d.threshold = static_cast<uint32_t>(std::ceil(rate * 16777216.0));
  d.keep = static_cast<float>(1 / (1 - rate));
  d.at = philox_position(args, d.block);
  return d;
}

}  // namespace vq
