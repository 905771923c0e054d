// Philox4x32-10 on whole vectors: lane i computes block start + i, the four words of a block are neighbours in memory, so
// that the numbers are those of vq/philox.h in the same order. To be included inside a foreach_target file.
#if defined(VQ_PHILOX_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef VQ_PHILOX_INL_H
#undef VQ_PHILOX_INL_H
#else
#define VQ_PHILOX_INL_H
#endif

#include <cstdint>

#include "cpu/simd_math-inl.h"
#include "vq/philox.h"

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {
namespace simd {

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void philox_blocks(const PhiloxPosition& at, uint64_t block, VU out[4]) {
  const PhiloxBlock words = philox4x32({static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                                        static_cast<uint32_t>(at.stream), static_cast<uint32_t>(at.stream >> 32)},
                                       static_cast<uint32_t>(at.seed), static_cast<uint32_t>(at.seed >> 32));
  for (int w = 0; w < 4; ++w) out[w] = hn::Set(U(), words[w]);
}
HWY_INLINE void interleave(const VF v[4], float* out) {
  for (int w = 0; w < 4; ++w) out[w] = hn::GetLane(v[w]);
}
#else
HWY_INLINE void interleave(const VF v[4], float* out) { hn::StoreInterleaved4(v[0], v[1], v[2], v[3], F(), out); }
HWY_INLINE VU high_product(VU a, VU m) {
  const U u;
  const hn::RepartitionToWide<U> wide;
  const auto even = hn::MulEven(a, m);
  const auto odd = hn::MulEven(hn::BitCast(u, hn::ShiftRight<32>(hn::BitCast(wide, a))), m);
  return hn::OddEven(hn::BitCast(u, odd), hn::BitCast(u, hn::ShiftRight<32>(even)));
}

// Words of `lanes()` blocks from `block` on, word w of every block in out[w].
HWY_INLINE void philox_blocks(const PhiloxPosition& at, uint64_t block, VU out[4]) {
  const U u;
  const VU low = hn::Add(hn::Iota(u, 0), hn::Set(u, static_cast<uint32_t>(block)));
  const VU carry = hn::VecFromMask(u, hn::Lt(low, hn::Set(u, static_cast<uint32_t>(block))));  // −1 where it wrapped
  VU c0 = low, c1 = hn::Sub(hn::Set(u, static_cast<uint32_t>(block >> 32)), carry);
  VU c2 = hn::Set(u, static_cast<uint32_t>(at.stream)), c3 = hn::Set(u, static_cast<uint32_t>(at.stream >> 32));
  uint32_t k0 = static_cast<uint32_t>(at.seed), k1 = static_cast<uint32_t>(at.seed >> 32);
  const VU m0 = hn::Set(u, 0xD2511F53u), m1 = hn::Set(u, 0xCD9E8D57u);
  for (int round = 0; round < 10; ++round) {
    const VU h0 = high_product(c0, m0), h1 = high_product(c2, m1), l0 = hn::Mul(c0, m0), l1 = hn::Mul(c2, m1);
    c0 = hn::Xor(hn::Xor(h1, c1), hn::Set(u, k0));
    c1 = l1;
    c2 = hn::Xor(hn::Xor(h0, c3), hn::Set(u, k1));
    c3 = l0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
}
#endif

// f(words) over the n words from the first of `block` on: out receives 4·lanes() floats at a time, in order.
template <class Function>
HWY_INLINE void philox_words(const PhiloxPosition& at, uint64_t block, int64_t n, float* out, const Function& f) {
  const int64_t step = 4 * lanes();
  VU words[4];
  for (int64_t i = 0; i < n; i += step, block += static_cast<uint64_t>(lanes())) {
    philox_blocks(at, block, words);
    VF v[4];
    f(words, v);
    if (i + step <= n) {
      interleave(v, out + i);
    } else {
      HWY_ALIGN float last[4 * HWY_MAX_BYTES / sizeof(float)];
      interleave(v, last);
      std::memcpy(out + i, last, static_cast<size_t>(n - i) * sizeof(float));
    }
  }
}

// out[i] = keep where the i-th word's upper 24 bits reach `threshold`, else 0.
HWY_INLINE void keep_factors(const PhiloxPosition& at, uint64_t block, int64_t n, uint32_t threshold, float keep, float* out) {
  const VI least = hn::Set(I(), static_cast<int32_t>(threshold) - 1);
  philox_words(at, block, n, out, [&](const VU* w, VF* v) HWY_ATTR {
    for (int k = 0; k < 4; ++k) {
      const auto kept = hn::Gt(hn::BitCast(I(), hn::ShiftRight<8>(w[k])), least);
      v[k] = hn::IfThenElseZero(hn::RebindMask(F(), kept), set(keep));
    }
  });
}

}  // namespace simd
}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#endif  // VQ_PHILOX_INL_H
