// Every case runs at every instruction set, with one and two threads, with guards around the outputs; results must be
// the bits of the scalar reference on one thread.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <atomic>
#include <new>
#include <string>
#include <tuple>

#include "check.h"
#include "guarded.h"
#include "settings.h"
#include "vq/threads.h"

namespace {

using vq_test::Guarded;
using vq_test::draw;
using vq_test::every_setting;
using vq_test::message_of;

}  // namespace

VQ_TEST(nearest_gives_the_reference_bits_at_every_setting_and_close_to_float64) {
  const int sizes[][3] = {{0, 3, 4},    {1, 1, 1},   {7, 1, 5},    {13, 33, 1},  {241, 31, 3},
                          {500, 65, 17}, {37, 257, 64}, {250, 40, 130}, {25, 100, 7}, {1000, 16, 2},
                          {37, 70, 161}, {250, 260, 321}, {19, 33, 500},
                          {300, 2000, 24}};  // wider ones are met in parts
  for (auto& s : sizes)
    for (vq::Metric metric : {vq::Metric::kL2, vq::Metric::kCosine, vq::Metric::kDot}) {
      const int n = s[0], k = s[1], dim = s[2];
      auto x = draw(static_cast<size_t>(n) * dim, 1), codes = draw(static_cast<size_t>(k) * dim, 2);
      if (n > 5) std::copy_n(codes.begin(), dim, x.begin() + 3 * dim);
      if (k > 20) std::copy_n(codes.begin(), dim, codes.begin() + 20 * dim);  // a duplicate
      std::vector<int32_t> want;
      std::vector<float> far;
      every_setting([&](const std::string& name, vq::CallOptions o) {
        Guarded<int32_t> idx(n);
        Guarded<float> dist(n);
        vq::nearest(x.data(), n, dim, codes.data(), k, metric, idx.data(), dist.data(), o);
        VQ_EXPECT(idx.intact() && dist.intact());
        if (name == "scalar" && o.threads == 1) want = idx.values(), far = dist.values();
        VQ_EXPECT(idx.values() == want);
        VQ_EXPECT(dist.values() == far);
      });
      for (int i = 0; i < n && metric == vq::Metric::kL2; ++i) {
        double best = 1e300, norm = 0, chosen = 0;
        for (int c = 0; c < k; ++c) {
          double t = 0;
          for (int d = 0; d < dim; ++d) t += std::pow(double(x[i * dim + d]) - codes[c * dim + d], 2);
          best = std::min(best, t);
          if (c == want[i]) chosen = t;
        }
        for (int d = 0; d < dim; ++d) norm += std::pow(x[i * dim + d], 2);
        VQ_EXPECT(chosen - best <= 1e-5 * (norm + best) && std::abs(far[i] - chosen) <= 1e-5 * (norm + chosen));
        VQ_EXPECT(want[i] != 20 || k <= 20);
      }
    }
}

// What a filter with an error bound may get wrong: near ties, duplicates, far from the origin, an outlier, the ends of
// float32, rows that are nowhere near. `without` distances take another way through it.
VQ_TEST(nearest_gives_the_reference_bits_on_hard_data) {
  const int sizes[][3] = {{140, 97, 33}, {130, 128, 32}, {150, 300, 63}, {130, 520, 32},
                          {129, 131, 385}, {133, 100, 700}};
  int seed = 40;
  for (auto& s : sizes)
    for (int kind = 0; kind < 10; ++kind) {
      const int n = s[0], k = s[1], dim = s[2];
      auto x = draw(static_cast<size_t>(n) * dim, ++seed), codes = draw(static_cast<size_t>(k) * dim, ++seed);
      const auto noise = draw(codes.size(), ++seed);
      switch (kind) {
        case 0:  // codes that differ in their last bits
          for (int i = 0; i < k * dim; ++i) codes[i] = codes[i % dim] * (1 + 1e-7f * std::round(noise[i]));
          break;
        case 1:  // every code again and again
          for (int i = 0; i < k * dim; ++i) codes[i] = codes[i % (7 * dim)];
          break;
        case 2:  // far from the origin
          for (float& v : x) v = 1000 + 1e-2f * v;
          for (float& v : codes) v = 1000 + 1e-2f * v;
          break;
        case 3:  // one code is an outlier, and one row
          for (int d = 0; d < dim; ++d) codes[d] *= 1e6f, x[d] *= 1e6f;
          break;
        case 4:
          for (float& v : x) v *= 1e-38f;
          for (float& v : codes) v *= 1e-38f;
          break;
        case 5:
          for (float& v : x) v *= 1e-22f;
          for (float& v : codes) v *= 1e-22f;
          break;
        case 6:  // squares come near the end of float32, and beyond it
          for (int i = 0; i < k * dim; ++i) codes[i] *= i < k * dim / 2 ? 1e17f : 1e19f;
          break;
        case 7:  // rows from every scale
          for (int i = 0; i < n * dim; ++i) x[i] *= std::ldexp(1.0f, (i / dim % 40) * 3 - 60);
          break;
        case 8:  // codes from every scale
          for (int i = 0; i < k * dim; ++i) codes[i] *= std::ldexp(1.0f, (i / dim % 40) * 3 - 60);
          break;
        default:  // rows half way between two codes, codes on a bfloat16 grid
          for (float& v : codes) v = std::round(v * 4) / 4;
          for (int i = 0; i < n * dim; ++i) x[i] = 0.5f * (codes[i % (k / 2 * dim)] + codes[k / 2 * dim + i % (k / 2 * dim)]);
      }
      for (vq::Metric metric : {vq::Metric::kL2, vq::Metric::kCosine, vq::Metric::kDot}) {
        std::vector<int32_t> want;
        std::vector<float> far;
        std::string wrong;
        for (const std::string& name : vq::isa_list()) {
          vq::set_isa(name);
          std::vector<int32_t> idx(n), without(n);
          std::vector<float> dist(n);
          const std::string said = message_of([&] {
            vq::nearest(x.data(), n, dim, codes.data(), k, metric, idx.data(), dist.data(), {2});
            vq::nearest(x.data(), n, dim, codes.data(), k, metric, without.data(), nullptr, {1});
          });
          if (name == "scalar") want = idx, far = dist, wrong = said;
          VQ_EXPECT(said == wrong);
          if (!said.empty()) continue;
          VQ_EXPECT(idx == want && without == want);
          VQ_EXPECT(dist == far);
        }
        vq::set_isa("auto");
      }
    }
}

VQ_TEST(the_first_row_without_a_nearest_code_is_named) {
  const int n = 700, k = 40, dim = 6;
  auto codes = draw(k * dim, 4);
  const float nan = std::nanf(""), inf = std::numeric_limits<float>::infinity();
  for (float poison : {nan, inf, -inf, 1e38f})
    every_setting([&](const std::string&, vq::CallOptions o) {
      auto x = draw(n * dim, 3);
      for (int row : {650, 413, 520}) std::fill_n(x.begin() + row * dim, dim, poison);
      std::vector<int32_t> idx(n);
      const auto message = message_of(
          [&] { vq::nearest(x.data(), n, dim, codes.data(), k, vq::Metric::kL2, idx.data(), nullptr, o); });
      if (poison != 1e38f) VQ_EXPECT(message.rfind("row 413 has no nearest code", 0) == 0);
      std::vector<int32_t> levels(n * 2);
      for (int beam : {1, 3}) {
        const auto residual = message_of([&] {
          vq::residual_encode(x.data(), n, dim, {codes.data(), codes.data()}, {k, k}, beam, levels.data(), nullptr, nullptr, nullptr, o);
        });
        if (poison != 1e38f) VQ_EXPECT(residual.rfind("row 413 has no nearest code", 0) == 0);
      }
      auto broken = codes;
      broken[17 * dim + 2] = poison;
      if (poison != 1e38f)
        VQ_EXPECT(message_of([&] {
                    vq::nearest(x.data(), 1, dim, broken.data(), k, vq::Metric::kDot, idx.data(), nullptr, o);
                  }).find("code 17 holds") != std::string::npos);
    });
}

VQ_TEST(denormals_are_not_flushed) {
  const float tiny = 1e-41f;
  const std::vector<float> codes{tiny, 3 * tiny, -tiny, 0};
  const std::vector<float> x{4 * tiny, -2 * tiny};
  every_setting([&](const std::string&, vq::CallOptions o) {
    std::vector<float> sums(2), counts(2);
    vq::code_sums(codes.data(), std::vector<int32_t>{0, 0, 1, 1}.data(), 4, 1, 2, counts.data(), sums.data(), o);
    VQ_EXPECT(sums[0] == codes[0] + codes[1] && sums[0] > 0 && sums[1] == -tiny);
    std::vector<int32_t> idx(2);
    // Scaled by 2^60 the products are normal numbers while the vectors are denormal ones.
    const std::vector<float> big{0x1p60f, -0x1p60f};
    vq::nearest(x.data(), 2, 1, big.data(), 2, vq::Metric::kDot, idx.data(), nullptr, o);
    VQ_EXPECT(idx[0] == 0 && idx[1] == 1);
  });
}

VQ_TEST(residual_codes_are_the_same_bits_at_every_setting) {
  const int n = 333, dim = 19, k = 37;
  const auto x = draw(n * dim, 5), a = draw(k * dim, 6), b = draw(k * dim, 7, 0.5f), c = draw(2 * dim, 8, 0.3f);
  for (int beam : {1, 2, 5, 50}) {
    std::vector<int32_t> want;
    std::vector<float> far, sum, each;
    every_setting([&](const std::string& name, vq::CallOptions o) {
      Guarded<int32_t> codes(n * 3);
      Guarded<float> quantized(n * dim), errors(n), level_errors(n * 3);
      vq::residual_encode(x.data(), n, dim, {a.data(), b.data(), c.data()}, {k, k, 2}, beam, codes.data(),
                          quantized.data(), errors.data(), level_errors.data(), o);
      VQ_EXPECT(codes.intact() && quantized.intact() && errors.intact() && level_errors.intact());
      if (name == "scalar" && o.threads == 1) {
        want = codes.values(), far = errors.values(), sum = quantized.values(), each = level_errors.values();
        for (int i = 0; i < n; ++i) VQ_EXPECT(each[3 * i + 2] == far[i]);
        // Without a beam the first levels do not know of the others.
        std::vector<int32_t> first(n * 2);
        std::vector<float> left(n);
        vq::residual_encode(x.data(), n, dim, {a.data(), b.data()}, {k, k}, 1, first.data(), nullptr, left.data(), nullptr, o);
        for (int i = 0; beam == 1 && i < n; ++i) VQ_EXPECT(each[3 * i + 1] == left[i]);
      }
      VQ_EXPECT(codes.values() == want && errors.values() == far && quantized.values() == sum && level_errors.values() == each);
    });
  }
}

VQ_TEST(ordered_linear_is_one_chain_per_element_at_every_setting) {
  const int sizes[][3] = {{0, 3, 4}, {1, 1, 1}, {5, 7, 16}, {29, 64, 33}, {300, 40, 8}, {13, 700, 65}, {7, 0, 3}};
  for (auto& s : sizes)
    for (bool biased : {false, true}) {
      const int n = s[0], in = s[1], out = s[2];
      const auto x = draw(static_cast<size_t>(n) * in, 11), w = draw(static_cast<size_t>(in) * out, 12), b = draw(out, 13);
      std::vector<float> want(static_cast<size_t>(n) * out);
      for (int i = 0; i < n; ++i)
        for (int o = 0; o < out; ++o) {
          float sum = biased ? b[o] : 0.0f;
          for (int d = 0; d < in; ++d) sum = std::fma(x[i * in + d], w[d * out + o], sum);
          want[i * out + o] = sum;
        }
      every_setting([&](const std::string&, vq::CallOptions o) {
        Guarded<float> y(n * out);
        vq::ordered_linear(x.data(), n, in, w.data(), out, biased ? b.data() : nullptr, y.data(), o);
        VQ_EXPECT(y.intact() && y.values() == want);
      });
    }
}

VQ_TEST(implicit_codes_are_found_by_the_contracts_arithmetic_at_every_setting) {
  const int sizes[][5] = {{0, 3, 4, 2, 1},  {1, 1, 1, 1, 1},   {5, 7, 4, 9, 2},    {29, 33, 17, 30, 3},
                          {200, 8, 16, 16, 1}, {3, 300, 5, 64, 2}, {40, 100, 32, 50, 1}, {2, 15, 3000, 7, 1}};
  for (auto& s : sizes) {
    const int n = s[0], k = s[1], dim = s[2], hidden = s[3], blocks = s[4];
    const size_t weights = static_cast<size_t>(blocks) * dim * hidden;
    const auto x = draw(static_cast<size_t>(n) * dim, 21), shift = draw(static_cast<size_t>(n) * dim, 22, 0.3f);
    auto start = draw(static_cast<size_t>(k) * dim, 23);
    const float scale = 1 / std::sqrt(static_cast<float>(dim));
    const auto up = draw(weights, 24, scale), down = draw(weights, 25, scale);
    // The last code is the first again: the lower one must win.
    if (k > 1) std::copy_n(start.begin(), dim, start.end() - dim);
    std::vector<int32_t> want(n);
    std::vector<float> e(dim), h(hidden);
    int firsts = 0;
    for (int i = 0; i < n; ++i) {
      float best = std::numeric_limits<float>::infinity();
      for (int c = 0; c < k; ++c) {
        for (int d = 0; d < dim; ++d) e[d] = start[c * dim + d] + shift[i * dim + d];
        for (int l = 0; l < blocks; ++l) {
          const float *a = up.data() + static_cast<size_t>(l) * dim * hidden, *b = down.data() + static_cast<size_t>(l) * dim * hidden;
          for (int j = 0; j < hidden; ++j) {
            float sum = 0;
            for (int d = 0; d < dim; ++d) sum = std::fma(e[d], a[d * hidden + j], sum);
            h[j] = std::max(sum, 0.0f);
          }
          for (int d = 0; d < dim; ++d) {
            float sum = 0;
            for (int j = 0; j < hidden; ++j) sum = std::fma(h[j], b[j * dim + d], sum);
            e[d] += sum;
          }
        }
        float norm = 0;
        for (int d = 0; d < dim; ++d) norm = std::fma(e[d], e[d], norm);
        float score = 0.5f * norm;
        for (int d = 0; d < dim; ++d) score = std::fma(-x[i * dim + d], e[d], score);
        if (score < best) best = score, want[i] = c;
      }
      firsts += want[i] == 0;
      VQ_EXPECT(k == 1 || want[i] != k - 1);
    }
    VQ_EXPECT(n < 200 || firsts > 0);
    every_setting([&](const std::string&, vq::CallOptions o) {
      Guarded<int32_t> indices(n);
      vq::nearest_implicit(x.data(), shift.data(), n, {k, dim, hidden, blocks, start.data(), up.data(), down.data()},
                           indices.data(), o);
      VQ_EXPECT(indices.intact() && indices.values() == want);
    });
  }
}

VQ_TEST(implicit_codes_need_little_memory_and_name_a_row_without_one) {
  const int n = 4000, k = 64, dim = 32, hidden = 64;
  auto x = draw(n * dim, 26);
  const auto shift = draw(n * dim, 27), start = draw(k * dim, 28), up = draw(dim * hidden, 29, 0.1f);
  auto down = draw(dim * hidden, 30, 0.1f);
  const vq::ImplicitCodebook codebook{k, dim, hidden, 1, start.data(), up.data(), down.data()};
  std::vector<int32_t> indices(n);
  for (int threads : {1, 2}) {
    const int64_t before = vq::ScratchCount::now;
    vq::ScratchCount::reset();
    vq::nearest_implicit(x.data(), shift.data(), n, codebook, indices.data(), {threads});
    VQ_EXPECT(vq::ScratchCount::peak - before <= threads * (int64_t{256} << 10));
    VQ_EXPECT(vq::ScratchCount::now == before);
  }
  x[70 * dim + 3] = std::numeric_limits<float>::quiet_NaN();
  const auto call = [&] { vq::nearest_implicit(x.data(), shift.data(), n, codebook, indices.data(), {2}); };
  VQ_EXPECT(message_of(call).find("row 70 has no nearest code: it holds a NaN at element 3") == 0);
  x[70 * dim + 3] = 0;
  down[0] = std::numeric_limits<float>::quiet_NaN();
  VQ_EXPECT(message_of(call).find("row 0 has no nearest code: it meets codewords that are not finite") == 0);
}

VQ_TEST(sums_and_averages_are_the_same_bits_at_every_setting) {
  const int n = 3000, dim = 75, k = 9;
  const auto x = draw(n * dim, 9), e = draw(k * dim, 10);
  std::vector<int32_t> idx(n);
  for (int i = 0; i < n; ++i) idx[i] = (i * 7919) % (k + 1) - 1;
  std::vector<float> reference(k * dim), want;
  for (int i = 0; i < n; ++i)
    if (idx[i] >= 0)
      for (int d = 0; d < dim; ++d) reference[idx[i] * dim + d] += x[i * dim + d];
  every_setting([&](const std::string& name, vq::CallOptions o) {
    Guarded<float> counts(k), sums(k * dim), book(k * dim);
    vq::code_sums(x.data(), idx.data(), n, dim, k, counts.data(), sums.data(), o);
    VQ_EXPECT(counts.intact() && sums.intact() && sums.values() == reference);
    std::fill_n(counts.data(), k, 1.0f);
    std::copy(e.begin(), e.end(), sums.data());
    vq::ema_update(x.data(), idx.data(), n, dim, k, e.data(), counts.data(), sums.data(), book.data(), counts.data(),
                   sums.data(), {}, o);
    VQ_EXPECT(counts.intact() && sums.intact() && book.intact());
    if (name == "scalar" && o.threads == 1) want = book.values();
    VQ_EXPECT(book.values() == want);
  });
}

VQ_TEST(kmeans_gives_the_same_bits_at_every_setting) {
  const int n = 1500, dim = 21;
  const auto x = draw(n * dim, 11);
  std::vector<float> weights(n);
  for (int i = 0; i < n; ++i) weights[i] = static_cast<float>(i % 4);
  for (auto init : {vq::KmeansOptions::kRandom, vq::KmeansOptions::kPlusPlus})
    for (auto [weighted, leading, k] : {std::tuple{false, false, 40}, {true, false, 40}, {false, true, 40}, {false, true, 9}}) {
      std::vector<float> want;
      std::vector<int32_t> who;
      std::vector<double> history;
      every_setting([&](const std::string& name, vq::CallOptions o) {
        vq::KmeansOptions options;
        options.k = k;
        options.iterations = 6;
        options.init = init;
        options.spherical = weighted;
        options.weights = weighted ? weights.data() : nullptr;
        if (leading) options.leading = {1, 2, 7, 20};
        Guarded<float> centroids(k * dim);
        Guarded<int32_t> assigned(n);
        const auto r = vq::kmeans(x.data(), n, dim, options, centroids.data(), assigned.data(), o);
        VQ_EXPECT(centroids.intact() && assigned.intact());
        if (name == "scalar" && o.threads == 1)
          want = centroids.values(), who = assigned.values(), history = r.history;
        VQ_EXPECT(centroids.values() == want && assigned.values() == who && r.history == history);
      });
    }
}

namespace {
std::atomic<int64_t> heap{0}, heap_peak{0};
}
// Not inlined: the compiler would see an allocation by new freed by free.
__attribute__((noinline)) void* operator new(size_t n) {
  size_t* p = static_cast<size_t*>(std::malloc(n + 16));
  if (!p) throw std::bad_alloc();
  *p = n;
  const int64_t now = heap += static_cast<int64_t>(n);
  if (now > heap_peak) heap_peak = now;
  return p + 2;
}
void* operator new(size_t n, const std::nothrow_t&) noexcept {
  try {
    return operator new(n);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
__attribute__((noinline)) void operator delete(void* p) noexcept {
  if (!p) return;
  size_t* q = static_cast<size_t*>(p) - 2;
  heap -= static_cast<int64_t>(*q);
  std::free(q);
}
void operator delete(void* p, size_t) noexcept { operator delete(p); }

VQ_TEST(nearest_needs_no_more_than_the_packed_codebook_and_a_megabyte) {
  vq::parallel_for(48, 1, 48, [](int64_t, int64_t) {});  // the pool's threads stay
  // Spread codes, and codes that are all the same: a filter cannot tell them apart.
  const int sizes[][3] = {{3000, 1000, 24}, {1000, 1024, 64}, {300, 100, 2048}, {128, 96, 4096}, {128, 96, 9000}};
  for (auto& s : sizes)
    for (bool same : {false, true}) {
      const int n = s[0], k = s[1], dim = s[2];
      const auto x = draw(static_cast<size_t>(n) * dim, 12);
      auto codes = draw(static_cast<size_t>(k) * dim, 13);
      for (int i = 1; same && i < k; ++i) std::copy_n(codes.begin(), dim, codes.begin() + static_cast<int64_t>(i) * dim);
      std::vector<int32_t> idx(n);
      std::vector<float> dist(n);
      for (vq::Metric metric : {vq::Metric::kL2, vq::Metric::kCosine, vq::Metric::kDot})
        for (const std::string& name : vq::isa_list())
          for (int threads : {1, 2, 4, 48}) {
            if (name == "scalar" && (threads > 1 || dim > 24)) continue;
            vq::set_isa(name);
            vq::PackedCodebook packed;
            packed.pack(codes.data(), k, dim, metric, 1);
            const int64_t book = packed.bytes();
            packed = {};
            const int64_t before = vq::ScratchCount::now + heap;
            vq::ScratchCount::reset();
            heap_peak = heap.load();
            vq::nearest(x.data(), n, dim, codes.data(), k, metric, idx.data(), dist.data(), {threads});
            VQ_EXPECT(vq::ScratchCount::peak + heap_peak - before <= book + (1 << 20));
            VQ_EXPECT(vq::ScratchCount::peak + heap_peak - before >= book);
            VQ_EXPECT(vq::ScratchCount::now + heap == before);
            if (same) VQ_EXPECT(std::all_of(idx.begin(), idx.end(), [](int32_t i) { return i == 0; }));
          }
    }
  vq::set_isa("auto");
}
