// Finite scalar and lookup-free quantization: the bits of the scalar functions at every instruction set and thread count,
// with guards around the outputs, and the papers' formulas in double.
#include <cmath>
#include <limits>
#include <string>

#include "check.h"
#include "guarded.h"
#include "settings.h"
#include "vq/codes.h"

namespace {

using vq_test::Guarded;
using vq_test::draw;
using vq_test::every_setting;
using vq_test::message_of;

const std::vector<std::vector<int64_t>> kLevels = {{2},      {3},       {8, 5, 5, 5}, {2, 2, 2}, {65536, 7},
                                                   {16, 15}, {4, 3, 2, 5, 7, 6, 11}};

double bounded(double z, int64_t l, vq::gpu::FsqBound bound) {
  if (bound == vq::gpu::FsqBound::kSymmetric) return (l - 1) * (std::tanh(z) + 1) / 2;
  const double half = (l - 1) * (1 - 1e-3) / 2, offset = l % 2 == 0 ? 0.5 : 0.0;
  return std::tanh(z + std::tan(offset / half)) * half - offset;
}

}  // namespace

VQ_TEST(fsq_codes_and_values_are_the_bits_of_the_scalar_functions_at_every_setting) {
  for (const auto& levels : kLevels)
    for (auto bound : {vq::gpu::FsqBound::kOriginal, vq::gpu::FsqBound::kSymmetric})
      for (int n : {0, 1, 15, 16, 17, 5000}) {
        const vq::FsqLevels l(levels, bound);
        const int64_t dim = l.dim();
        auto z = draw(static_cast<size_t>(n * dim), 3, 1.5f);
        for (int64_t i = 0; i < n * dim; i += 7) z[i] *= i % 3 ? 1e-6f : 1e6f;
        if (n > 16) z[5] = std::numeric_limits<float>::max(), z[6] = -z[5], z[7] = -0.0f, z[8] = 0.625f, z[9] = 1e-42f;
        const auto dy = draw(z.size(), 4, 1);
        std::vector<int32_t> codes(n);
        std::vector<float> values(z.size()), rounded(z.size()), slopes(z.size());
        for (int64_t i = 0; i < n; ++i)
          for (int64_t d = 0; d < dim; ++d) {
            const float level = vq::gpu::fsq_level(l.columns[d], z[i * dim + d]);
            codes[i] += static_cast<int32_t>(level) * l.basis[d];
            values[i * dim + d] = vq::gpu::fsq_value(l.columns[d], level);
            rounded[i * dim + d] = vq::gpu::fsq_bounded(l.columns[d], z[i * dim + d]);
            slopes[i * dim + d] = vq::gpu::fsq_slope(l.columns[d], z[i * dim + d]) * dy[i * dim + d];
            VQ_EXPECT(level >= 0 && level <= levels[d] - 1 && level == std::floor(level));
            // The level is that of the formula in double, unless it lies between two.
            const double b = bounded(z[i * dim + d], levels[d], bound) +
                             (bound == vq::gpu::FsqBound::kOriginal ? levels[d] / 2 : 0);
            VQ_EXPECT(std::abs(b - level) < 0.5 + 3e-7 * static_cast<double>(levels[d]));
          }
        every_setting([&](const std::string&, vq::CallOptions o) {
          Guarded<int32_t> idx(n);
          Guarded<float> out(n * dim), bound_only(n * dim), dz(n * dim), back(n * dim);
          vq::fsq_encode(z.data(), n, l, out.data(), idx.data(), o);
          vq::fsq_bound(z.data(), n, l, bound_only.data(), o);
          vq::fsq_gradient(z.data(), dy.data(), n, l, dz.data(), o);
          vq::fsq_decode(idx.data(), n, l, back.data(), o);
          VQ_EXPECT(idx.intact() && out.intact() && bound_only.intact() && dz.intact() && back.intact());
          VQ_EXPECT(idx.values() == codes && out.values() == values && back.values() == values);
          VQ_EXPECT(bound_only.values() == rounded && dz.values() == slopes);
        });
      }
}

VQ_TEST(fsq_tanh_is_tanh_to_2e_7_and_odd) {
  for (double x = -12; x < 12; x += 1e-3) {
    const float v = static_cast<float>(x);
    VQ_EXPECT(std::abs(vq::gpu::fsq_tanh(v) - std::tanh(static_cast<double>(v))) < 2e-7);
    VQ_EXPECT(vq::gpu::fsq_tanh(-v) == -vq::gpu::fsq_tanh(v));
  }
  VQ_EXPECT(vq::gpu::fsq_tanh(1e30f) == 1.0f && vq::gpu::fsq_tanh(-1e30f) == -1.0f);
  for (double x = 0; x < 1.1; x += 1e-3) VQ_EXPECT(std::abs(vq::gpu::fsq_tangent(x) - std::tan(x)) < 1e-15 * 4);
}

VQ_TEST(every_fsq_code_decodes_to_values_that_lie_at_their_levels) {
  for (const auto& levels : kLevels) {
    const vq::FsqLevels l(levels, vq::gpu::FsqBound::kSymmetric);
    if (l.size > 100000) continue;
    std::vector<int32_t> all(l.size);
    for (int64_t i = 0; i < l.size; ++i) all[i] = static_cast<int32_t>(i);
    std::vector<float> values(l.size * l.dim());
    vq::fsq_decode(all.data(), l.size, l, values.data(), {2});
    for (int64_t i = 0; i < l.size; ++i)
      for (int64_t d = 0, rest = i; d < l.dim(); rest /= levels[d], ++d) {
        VQ_EXPECT(std::abs(values[i * l.dim() + d] - (2.0 * (rest % levels[d]) / (levels[d] - 1) - 1)) < 1e-7);
        // Symmetric about 0 to the bit: the code with all digits reversed is the negative.
        VQ_EXPECT(values[i * l.dim() + d] == -values[(l.size - 1 - i) * l.dim() + d]);
      }
  }
}

VQ_TEST(lfq_codes_are_the_signs_at_every_setting) {
  for (int64_t bits : {1, 2, 10, 17, 31})
    for (int n : {0, 1, 33, 4000}) {
      auto z = draw(static_cast<size_t>(n * bits), 5, 1);
      if (n > 1) z[0] = 0.0f, z[1] = -0.0f, z[2] = 1e-42f, z[3] = -1e-42f;
      every_setting([&](const std::string&, vq::CallOptions o) {
        Guarded<int32_t> idx(n);
        Guarded<float> out(n * bits), back(n * bits);
        vq::lfq_encode(z.data(), n, bits, 0.25f, out.data(), idx.data(), o);
        vq::lfq_decode(idx.data(), n, bits, 0.25f, back.data(), o);
        VQ_EXPECT(idx.intact() && out.intact() && back.intact() && out.values() == back.values());
        std::vector<int32_t> codes(n);
        std::vector<float> signs(n * bits);
        for (int i = 0; i < n; ++i) {
          int64_t code = 0;
          for (int64_t j = i * bits; j < (i + 1) * bits; ++j) {
            code = 2 * code + (z[j] > 0);
            signs[j] = z[j] > 0 ? 0.25f : -0.25f;
          }
          codes[i] = static_cast<int32_t>(code);
        }
        VQ_EXPECT(out.values() == signs && idx.values() == codes);
      });
    }
}

VQ_TEST(the_first_row_without_a_code_and_the_first_code_out_of_range_are_named) {
  const vq::FsqLevels l({5, 4}, vq::gpu::FsqBound::kOriginal);
  for (float poison : {std::nanf(""), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()})
    every_setting([&](const std::string&, vq::CallOptions o) {
      auto z = draw(20000, 6, 1);
      for (int row : {9650, 7413, 9520}) z[row * 2 + 1] = poison;
      std::vector<int32_t> idx(10000);
      const std::string want = "row 7413 has no code: it holds";
      VQ_EXPECT(message_of([&] { vq::fsq_encode(z.data(), 10000, l, nullptr, idx.data(), o); }).rfind(want, 0) == 0);
      VQ_EXPECT(message_of([&] { vq::lfq_encode(z.data(), 10000, 2, 1, nullptr, idx.data(), o); }).rfind(want, 0) == 0);
    });
  float out[4];
  for (int32_t bad : {20, -1}) {
    const int32_t codes[] = {3, bad};
    VQ_EXPECT(message_of([&] { vq::fsq_decode(codes, 2, l, out, {1}); }).find("of row 1 is outside the 20 codes") != std::string::npos);
  }
  const int32_t four[] = {4};
  VQ_EXPECT(message_of([&] { vq::lfq_decode(four, 1, 2, 1, out, {1}); }).find("outside the 4 codes") != std::string::npos);
  for (const auto& wrong : std::vector<std::vector<int64_t>>{{}, {1}, {65537}, {65536, 65536}, {3, 0}})
    VQ_EXPECT(!message_of([&] { vq::FsqLevels x(wrong, vq::gpu::FsqBound::kOriginal); }).empty());
}
