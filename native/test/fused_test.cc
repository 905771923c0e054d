// The fused kernels at every instruction set of the machine: the same answers as at the widest one, which the tests of
// @vq/core compare with float64, within rounding, whatever the lengths of rows and the number of threads are.
#include <hwy/targets.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "call.h"
#include "check.h"

namespace {

using vq_test::Call;
using vq_test::noise;
using Results = std::vector<std::vector<float>>;

void append(Results& all, Results more) {
  for (auto& r : more) all.push_back(std::move(r));
}

Results everything(int threads) {
  Results all;
  for (int64_t c : {1, 3, 16, 37, 130}) {
    const int64_t rows = 70, n = rows * c;
    const auto x = noise(n, 1, 3), dy = noise(n, 2), gamma = noise(c, 3), beta = noise(c, 4);
    const double r = rows, d = c;
    Results norm = Call(threads).numbers({r, d, 1e-5}).in(x).in(gamma).in(beta).out(n).out(rows).out(rows).run("LayerNorm");
    append(all, Call(threads).numbers({r, d}).in(x).in(gamma).in(norm[1]).in(norm[2]).in(dy).out(n).out(c).out(c).run("LayerNormGrad"));
    append(all, norm);
    for (double which : {0, 1}) {
      Results y = Call(threads).numbers({which, r, d}).in(x).out(n).run("Softmax");
      append(all, Call(threads).numbers({which, r, d}).in(y[0]).in(dy).out(n).run("SoftmaxGrad"));
      append(all, y);
    }
    std::vector<int32_t> labels(rows);
    for (int64_t i = 0; i < rows; ++i) labels[i] = i % 5 == 0 ? -1 : static_cast<int32_t>(i % c);
    Results loss = Call(threads).numbers({r, d, 0.1, -1}).in(x).in(labels).out(rows).out(rows).run("CrossEntropy");
    append(all, Call(threads).numbers({r, d, 0.1, -1, 0}).in(x).in(labels).in(loss[1]).numbers({1}).in(loss[0]).out(n).run("CrossEntropyGrad"));
    append(all, loss);
    for (double kind = 0; kind <= 6; ++kind) {
      append(all, Call(threads).numbers({kind, static_cast<double>(n)}).in(x).out(n).run("Activation"));
      append(all, Call(threads).numbers({kind, static_cast<double>(n)}).in(x).in(dy).out(n).run("ActivationGrad"));
      append(all, Call(threads).numbers({kind, r, d, 5}).in(x).in(noise(5 * c, 6)).in(noise(5, 7)).out(5 * rows).out(5 * rows).run("Linear"));
    }
    for (double kind = 0; kind <= 3; ++kind)
      append(all, Call(threads).numbers({kind, static_cast<double>(n), 0.3, 0.9, 7, 8, 9, 10, 4294967290.0, 1}).out(n).run("RandomFill"));
    append(all, Call(threads).numbers({static_cast<double>(n), 0.3, 7, 8, 9, 10, 11, 0}).in(x).out(n).run("Dropout"));
    for (const char* name : {"Exp", "Tanh", "Sigmoid"})
      append(all, Call(threads).numbers({static_cast<double>(n)}).in(x).out(n).run(name));
    append(all, Call(threads).numbers({2, 35, d, 1, 1e-5}).in(x).in(gamma).in(beta).out(n).out(2 * c).out(2 * c).run("GroupNorm"));

    // As many bits as columns, in groups of 7; the second output is the table that the gradient needs.
    const int64_t group = std::min<int64_t>(7, c), table = (c / group << group) + (c % group ? 1 << c % group : 0);
    const double g7 = group;
    Results bits = Call(threads).numbers({r, d, g7, 2}).in(x).out(1).out(1).out(table).run("LfqEntropy");
    append(all, Call(threads).numbers({r, d, g7, 2}).in(x).in(std::vector<float>{0.5f}).in(std::vector<float>{-0.7f}).in(bits[2]).out(n).run("LfqEntropyGrad"));
    append(all, bits);
    Results soft = Call(threads).numbers({r, d, 0.7, 1, 2, 3, 4, 5, 6}).in(x).out(n).out(rows).out(1).out(rows).out(rows).run("GumbelSoftmax");
    append(all, Call(threads).numbers({r, d, 0.7}).in(x).in(soft[0]).in(soft[3]).in(soft[4]).in(dy).in(std::vector<float>{0.3f}).out(n).run("GumbelSoftmaxGrad"));
    for (int i : {0, 2, 3, 4}) all.push_back(soft[i]);

    // Two heads, causal, with a mask of one row of keys and dropout.
    const int64_t tq = 9, tk = c + 3, dim = 5;
    std::vector<uint8_t> mask(tk, 1);
    mask[tk / 2] = 0;
    const auto attention = [&](Call& call) -> Call& {
      return call.numbers({1, 2, static_cast<double>(tq), static_cast<double>(tk), 5, 0.4, 1, 1, 4, 1, 1, 1, static_cast<double>(tk)})
          .in(mask).numbers({0.2, 1, 2, 3, 4, 5, 6});
    };
    const auto q = noise(2 * tq * dim, 11), k = noise(2 * tk * dim, 12), v = noise(2 * tk * dim, 13), g = noise(2 * tq * dim, 14);
    Call forward(threads), backward(threads);
    Results out = attention(forward).in(q).in(k).in(v).out(2 * tq * dim).out(2 * tq).run("Attention");
    append(all, attention(backward).in(q).in(k).in(v).in(out[0]).in(out[1]).in(g).out(2 * tq * dim).out(2 * tk * dim).out(2 * tk * dim).run("AttentionGrad"));
    append(all, out);

    // Sequences of different lengths, backwards.
    const int64_t batch = 15, steps = 3, in = 2, h = c;
    std::vector<int32_t> lengths(batch);
    for (int64_t i = 0; i < batch; ++i) lengths[i] = static_cast<int32_t>(i % 4);
    const auto sx = noise(batch * steps * in, 15), wx = noise(in * 4 * h, 16), wh = noise(h * 4 * h, 17, 0.3f), b = noise(4 * h, 18);
    Call one(threads), two(threads);
    Results s = one.numbers({15, 3, 2, d, 1}).in(lengths).in(sx).in(wx).in(wh).in(b).none().none().out(batch * steps * h)
                    .out(steps * batch * 4 * h).out((steps + 1) * batch * h).out((steps + 1) * batch * h).out(batch * h).out(batch * h).run("Lstm");
    append(all, two.numbers({15, 3, 2, d, 1}).in(lengths).in(sx).in(wx).in(wh).in(s[1]).in(s[2]).in(s[3]).in(noise(batch * steps * h, 19))
                    .in(noise(batch * h, 20)).in(noise(batch * h, 21)).out(batch * h).out(batch * h).out(batch * steps * in).out(in * 4 * h)
                    .out(h * 4 * h).out(4 * h).run("LstmGrad"));
    for (int i : {0, 2, 3, 4, 5}) all.push_back(s[i]);  // gates behind a sequence's end are whatever they are
  }
  return all;
}

double apart(const std::vector<float>& a, const std::vector<float>& b) {
  double square = 0, worst = 0;
  for (float v : b) square += std::isfinite(v) ? static_cast<double>(v) * v : 0;
  const double scale = std::max(1e-2, std::sqrt(square / std::max<size_t>(1, b.size())));
  for (size_t i = 0; i < a.size(); ++i)
    if (a[i] != b[i]) worst = std::max(worst, std::isfinite(a[i]) && std::isfinite(b[i]) ? std::fabs(a[i] - b[i]) / scale : 1e9);
  return worst;
}

}  // namespace

VQ_TEST(fused_kernels_agree_at_every_instruction_set_and_thread_count) {
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
  const Results widest = everything(1);
  VQ_EXPECT(widest.size() > 300);
  const Results threaded = everything(2);
  for (size_t i = 0; i < widest.size(); ++i) VQ_EXPECT(apart(threaded[i], widest[i]) == 0);
  for (int64_t target : {static_cast<int64_t>(HWY_SCALAR), static_cast<int64_t>(HWY_AVX2), static_cast<int64_t>(HWY_AVX3)}) {
    hwy::SetSupportedTargetsForTest(0);
    if ((hwy::SupportedTargets() & target) == 0) continue;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().DeInit();
    const Results got = everything(2);
    VQ_EXPECT(got.size() == widest.size());
    for (size_t i = 0; i < got.size(); ++i) {
      const double d = apart(got[i], widest[i]);
      if (!(d < 1e-4)) std::printf("result %zu on target %lld: %g\n", i, static_cast<long long>(target), d);
      VQ_EXPECT(d < 1e-4);
    }
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}
