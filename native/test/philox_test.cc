#include "check.h"
#include "vq/philox.h"

// Known answers published with Random123 (kat_vectors, philox4x32, 10 rounds).
VQ_TEST(philox_gives_the_published_answers) {
  using B = vq::PhiloxBlock;
  VQ_EXPECT((vq::philox4x32({0, 0, 0, 0}, 0, 0) == B{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const uint32_t f = 0xffffffff;
  VQ_EXPECT((vq::philox4x32({f, f, f, f}, f, f) == B{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  VQ_EXPECT((vq::philox4x32({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0) ==
             B{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

VQ_TEST(a_generator_consumes_blocks_in_order_and_keeps_streams_apart) {
  vq::Philox g(0x299f31d0a4093822ull, 0x0370734413198a2eull);
  const auto block = vq::philox4x32({0, 0, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0);
  for (uint32_t v : block) VQ_EXPECT(g.next() == v);
  const auto second = vq::philox4x32({1, 0, 0x13198a2e, 0x03707344}, 0xa4093822, 0x299f31d0);
  VQ_EXPECT(g.uniform_float() == static_cast<float>(second[0] >> 8) / 16777216.0f);
  double sum = 0, square = 0;
  vq::Philox h(7);
  for (int i = 0; i < 20000; ++i) {
    const double v = h.normal();
    sum += v;
    square += v * v;
  }
  VQ_EXPECT(std::abs(sum / 20000) < 0.03 && std::abs(square / 20000 - 1) < 0.05);
}
