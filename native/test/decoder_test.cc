// Decoding: products of few rows to the bit, a layer beside its definition in double, and the same bits however tokens are split
// over calls, sequences over batches and rows over threads, at every instruction set.
#include <hwy/targets.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "call.h"
#include "check.h"
#include "cpu/row_product.h"
#include "guarded.h"

namespace {

using vq_test::Call;
using vq_test::Guarded;
using vq_test::noise;
using Floats = std::vector<float>;

void at_every_target(const std::function<void()>& body) {
  for (int64_t target : {static_cast<int64_t>(HWY_SCALAR), static_cast<int64_t>(HWY_AVX2), static_cast<int64_t>(HWY_AVX3)}) {
    hwy::SetSupportedTargetsForTest(0);
    if ((hwy::SupportedTargets() & target) == 0) continue;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().DeInit();
    body();
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

struct Layer {
  int64_t batch, tokens, width, heads, hidden, room;
  Floats x, gamma, beta, qkv, qkv_bias, out, out_bias, widen, widen_bias, narrow, narrow_bias;
  Layer(int64_t batch, int64_t tokens, int64_t width, int64_t heads, int64_t hidden)
      : batch(batch), tokens(tokens), width(width), heads(heads), hidden(hidden), room((tokens + 15) / 16 * 16),
        x(noise(batch * tokens * width, 1)), gamma(noise(width, 2)), beta(noise(width, 3)),
        qkv(noise(3 * width * width, 4)), qkv_bias(noise(3 * width, 5)), out(noise(width * width, 6)), out_bias(noise(width, 7)),
        widen(noise(width * hidden, 8)), widen_bias(noise(hidden, 9)), narrow(noise(width * hidden, 10, 0.3f)),
        narrow_bias(noise(width, 11)) {}

  // Sequences [first, first + count) in calls of these many tokens each.
  Floats run(int64_t first, int64_t count, const std::vector<int64_t>& cuts, int threads) const {
    Floats keys(count * width * room, NAN), values(count * width * room, NAN), all(count * tokens * width);
    int64_t held = 0;
    for (int64_t n : cuts) {
      Floats part(count * n * width);
      for (int64_t s = 0; s < count; ++s)
        std::copy_n(&x[((first + s) * tokens + held) * width], n * width, &part[s * n * width]);
      Call call(threads);
      for (int64_t v : {count, n, held, room, width, heads, hidden, int64_t{2}}) call.numbers({static_cast<double>(v)});
      const auto got = call.in_out(part).numbers({1e-5}).in(gamma).in(beta).in(qkv).in(qkv_bias).in(out).in(out_bias)
                           .numbers({1e-5}).in(beta).none().in(widen).in(widen_bias).in(narrow).in(narrow_bias)
                           .in_out(keys).in_out(values).run("DecoderLayer");
      for (int64_t s = 0; s < count; ++s) std::copy_n(&got[0][s * n * width], n * width, &all[(s * tokens + held) * width]);
      keys = got[1], values = got[2];
      held += n;
    }
    return all;
  }

  std::vector<double> norm(const std::vector<double>& row, const Floats& scale, const Floats* shift) const {
    double mean = 0, square = 0;
    for (double v : row) mean += v / width;
    for (double v : row) square += (v - mean) * (v - mean) / width;
    std::vector<double> y(width);
    for (int64_t i = 0; i < width; ++i)
      y[i] = (row[i] - mean) / std::sqrt(square + 1e-5) * scale[i] + (shift ? (*shift)[i] : 0);
    return y;
  }
  static std::vector<double> product(const std::vector<double>& row, const Floats& w, const Floats& bias) {
    std::vector<double> y(bias.begin(), bias.end());
    for (size_t k = 0; k < row.size(); ++k)
      for (size_t j = 0; j < y.size(); ++j) y[j] += row[k] * w[k * y.size() + j];
    return y;
  }
  std::vector<double> reference() const {
    const int64_t dim = width / heads;
    std::vector<double> all;
    for (int64_t s = 0; s < batch; ++s) {
      std::vector<std::vector<double>> seen;
      for (int64_t t = 0; t < tokens; ++t) {
        std::vector<double> row(&x[(s * tokens + t) * width], &x[(s * tokens + t) * width] + width), attended(width, 0.0);
        seen.push_back(product(norm(row, gamma, &beta), qkv, qkv_bias));
        for (int64_t h = 0; h < heads; ++h) {
          std::vector<double> p;
          double total = 0;
          for (const auto& other : seen) {
            double score = 0;
            for (int64_t d = 0; d < dim; ++d) score += seen.back()[h * dim + d] * other[width + h * dim + d];
            p.push_back(std::exp(score / std::sqrt(dim)));
            total += p.back();
          }
          for (size_t j = 0; j < p.size(); ++j)
            for (int64_t d = 0; d < dim; ++d) attended[h * dim + d] += p[j] / total * seen[j][2 * width + h * dim + d];
        }
        const auto joined = product(attended, out, out_bias);
        for (int64_t i = 0; i < width; ++i) row[i] += joined[i];
        auto between = product(norm(row, beta, nullptr), widen, widen_bias);
        for (double& v : between) v *= 0.5 * std::erfc(-v / std::sqrt(2.0));
        const auto added = product(between, narrow, narrow_bias);
        for (int64_t i = 0; i < width; ++i) all.push_back(row[i] + added[i]);
      }
    }
    return all;
  }
};

bool refused(const std::function<void()>& call) {
  try {
    call();
  } catch (const vq::Error&) {
    return true;
  }
  return false;
}

}  // namespace

VQ_TEST(products_of_few_rows_are_chains_of_multiply_adds_to_the_bit) {
  at_every_target([] {
    for (int64_t rows : {1, 2, 3, 7, 8, 13, 20})
      for (int64_t out : {1, 5, 16, 37, 150}) {
        const int64_t in = 11;
        const Floats x = noise(rows * in, 1), w = noise(in * out, 2), bias = noise(out, 3), before = noise(rows * out, 4);
        for (bool add : {false, true}) {
          Guarded<float> y(rows * out);
          std::copy(before.begin(), before.end(), y.data());
          vq::row_product(x.data(), rows, in, w.data(), out, add ? nullptr : bias.data(), add, y.data(), 2);
          bool same = y.intact();
          for (int64_t i = 0; i < rows * out; ++i) {
            float s = 0;
            for (int64_t k = 0; k < in; ++k) s = std::fma(x[i / out * in + k], w[k * out + i % out], s);
            same = same && y[i] == (add ? before[i] + s : s + bias[i % out]);
          }
          VQ_EXPECT(same);
        }
      }
    // Columns shared among threads.
    const int64_t in = 600, out = 3000;
    const Floats x = noise(in, 1), w = noise(in * out, 2);
    Floats one(out), two(out);
    vq::row_product(x.data(), 1, in, w.data(), out, nullptr, false, one.data(), 1);
    vq::row_product(x.data(), 1, in, w.data(), out, nullptr, false, two.data(), 3);
    VQ_EXPECT(one == two);
  });
}

VQ_TEST(decoder_layers_follow_their_definition_whatever_is_split) {
  at_every_target([] {
    for (const Layer& layer : {Layer(3, 21, 12, 3, 20), Layer(2, 40, 10, 1, 7), Layer(1, 5, 32, 2, 64), Layer(70, 2, 33, 1, 9)}) {
      const Floats whole = layer.run(0, layer.batch, {layer.tokens}, 1);
      const std::vector<double> wanted = layer.reference();
      double worst = 0;
      for (size_t i = 0; i < whole.size(); ++i) worst = std::max(worst, std::fabs(whole[i] - wanted[i]) / (1 + std::fabs(wanted[i])));
      VQ_EXPECT(worst < 2e-5);
      const std::vector<int64_t> singly(layer.tokens, 1);
      VQ_EXPECT(layer.run(0, layer.batch, singly, 2) == whole);
      VQ_EXPECT(layer.run(0, layer.batch, {layer.tokens - 1, 1}, 3) == whole);
      const Floats last = layer.run(layer.batch - 1, 1, {1, layer.tokens - 1}, 2);
      VQ_EXPECT(std::equal(last.begin(), last.end(), whole.end() - static_cast<std::ptrdiff_t>(last.size())));
    }
  });
}

VQ_TEST(decoder_kernels_refuse_what_does_not_fit) {
  Layer layer(1, 4, 8, 2, 8);
  VQ_EXPECT(!refused([&] { layer.run(0, 1, {4}, 1); }));
  for (auto Layer::*sizes : {&Layer::qkv, &Layer::out_bias, &Layer::widen, &Layer::narrow, &Layer::gamma}) {
    Layer less = layer;
    (less.*sizes).pop_back();
    VQ_EXPECT(refused([&] { less.run(0, 1, {4}, 1); }));
  }
  for (auto Layer::*size : {&Layer::heads, &Layer::room, &Layer::hidden}) {
    Layer other = layer;
    other.*size = 30;
    VQ_EXPECT(refused([&] { other.run(0, 1, {4}, 1); }));
  }
  const std::vector<int32_t> words(2, 0), none;
  const auto draw = [&](double first, double end, double top_k, double top_p, int64_t rows) {
    Call(1).numbers({static_cast<double>(rows), 5, 1, 1, top_k, top_p, first, end, 0}).in(noise(5, 1)).in(none).in(words).numbers({1})
        .out(rows).run("DrawTokens");
  };
  VQ_EXPECT(!refused([&] { draw(0, 5, 5, 1, 1); }));
  VQ_EXPECT(refused([&] { draw(0, 6, 5, 1, 1); }));
  VQ_EXPECT(refused([&] { draw(3, 3, 5, 1, 1); }));
  VQ_EXPECT(refused([&] { draw(0, 5, 0, 1, 1); }));
  VQ_EXPECT(refused([&] { draw(0, 5, 5, 0, 1); }));
  VQ_EXPECT(refused([&] { draw(0, 5, 5, 1, 2); }));
}
