// The entropy terms of lookup-free quantization on a device, beside float64 over all codes, within bounds that are stated.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "device_buffers.h"
#include "device_cases.h"
#include "device_reference.h"

namespace vq_test {

using std::string;
using std::to_string;
using std::vector;

namespace {

struct Exact {
  double entropy = 0, diversity = 0;
  vector<double> mean;      // one distribution behind the other
  vector<double> gradient;  // [n, bits], and what float32 may be off by
  vector<double> room;
};

// As float32 has it: what the device computes is exact of that.
double log_odds(float kappa, float z) { return std::max(-700.0, std::min(700.0, static_cast<double>(kappa * z))); }
double logistic(double a) { return 1 / (1 + std::exp(-a)); }

// By definition: every code's probability of every row. The gradient by E[p] is taken from `table`.
Exact exact(const vector<float>& z, int64_t n, int64_t bits, int64_t group, float kappa, double by_entropy, double by_diversity,
            const vector<float>& table) {
  Exact e;
  e.gradient.assign(n * bits, 0), e.room.assign(n * bits, 0);
  for (int64_t first = 0, at = 0; first < bits; first += group) {
    const int64_t held = std::min(group, bits - first), codes = int64_t{1} << held;
    vector<double> mean(codes), p(codes), ones(held), zeros(held);
    for (int64_t r = 0; r < n; ++r) {
      p[0] = 1;
      for (int64_t j = 0, have = 1; j < held; ++j, have *= 2) {
        const double a = log_odds(kappa, z[r * bits + first + j]);
        ones[j] = logistic(a), zeros[j] = logistic(-a);
        for (double q : {ones[j], zeros[j]})
          if (q > 0) e.entropy -= q * std::log(q) / n;
        for (int64_t c = have - 1; c >= 0; --c) p[2 * c + 1] = p[c] * ones[j], p[2 * c] = p[c] * zeros[j];
      }
      vector<double> with(held), without(held), size(held);
      for (int64_t c = 0; c < codes; ++c) {
        mean[c] += p[c] / n;
        const double v = p[c] * table[at + c];
        for (int64_t j = 0; j < held; ++j) (c >> (held - 1 - j) & 1 ? with : without)[j] += v;
        for (int64_t j = 0; j < held; ++j) size[j] += std::fabs(v) * (c >> (held - 1 - j) & 1 ? zeros[j] : ones[j]);
      }
      for (int64_t j = 0; j < held; ++j) {
        const double a = log_odds(kappa, z[r * bits + first + j]), flat = a * ones[j] * zeros[j];
        double& g = e.gradient[r * bits + first + j];
        g = kappa / n * (by_diversity * (zeros[j] * with[j] - ones[j] * without[j]) - by_entropy * flat);
        e.room[r * bits + first + j] = kappa / n * (std::fabs(by_diversity) * size[j] + std::fabs(by_entropy * flat));
      }
    }
    for (double q : mean)
      if (q > 0) e.diversity -= q * std::log(q);
    e.mean.insert(e.mean.end(), mean.begin(), mean.end());
    at += codes;
  }
  return e;
}

struct Size {
  int64_t n, bits, group;
  float kappa;
  string text() const { return to_string(n) + " x " + to_string(bits) + " by " + to_string(group) + ", kappa " + to_string(kappa); }
};
vector<Size> sizes_of(bool large) {
  vector<Size> all = {{1, 1, 1, 1},   {3, 2, 2, 4},    {33, 3, 26, 0.5f}, {65, 5, 5, 10},  {300, 7, 3, 2},
                      {64, 10, 10, 1}, {40, 13, 13, 3}, {520, 9, 4, 100},  {20, 15, 15, 2},  {9, 40, 1, 1}};
  if (large)
    for (const Size& s : {Size{5000, 12, 12, 2}, Size{3000, 18, 9, 4}, Size{300, 16, 16, 1}, Size{40, 18, 18, 2}, Size{70000, 4, 4, 1}}) all.push_back(s);
  return all;
}

}  // namespace

void DeviceCases::lfq_entropies() const {
  for (const Size& s : sizes_of(large)) {
    const int64_t size = s.n * s.bits;
    vector<float> z = draw(size, 20);
    for (int64_t i = 0; i < size; i += 29) z[i] *= i % 2 ? 100.0f : 0.0f;  // certain, and undecided
    if (size > 60) z[31] = 3e38f, z[32] = -3e38f;                          // kappa z overflows
    const float by_entropy = 0.7f, by_diversity = -1.3f;
    const int64_t group = std::min(s.group, s.bits), rest = s.bits % group;
    const int64_t tables = (s.bits / group << group) + (rest ? int64_t{1} << rest : 0);
    DeviceArray<float> dz(backend, context, z), entropy(backend, context, 1), diversity(backend, context, 1), table(backend, context, tables), out(backend, context, size);
    const vq_lfq_entropy_args a{s.n, s.bits, s.group, s.kappa, 0, dz, entropy, diversity, table};
    expect(backend.lfq_entropy(context, &a, nullptr) == VQ_OK, s.text() + ": " + backend.last_error());
    const vq_lfq_entropy_gradient_args g{s.n, s.bits, s.group, s.kappa, by_entropy, by_diversity, 0, dz, table, out};
    expect(backend.lfq_entropy_gradient(context, &g, nullptr) == VQ_OK, s.text() + ", gradient: " + backend.last_error());
    expect(entropy.intact() && diversity.intact() && table.intact() && out.intact(), s.text() + ": wrote past an end");

    const vector<float> slopes = table.values(), gradient = out.values();
    const Exact want = exact(z, s.n, s.bits, s.group, s.kappa, by_entropy, by_diversity, slopes);
    const double bits = static_cast<double>(s.bits), u = std::ldexp(1.0, -24);
    // Of each bit 1 + e^-|a| is rounded, the logarithm and the product with |a| besides.
    const double off = std::fabs(entropy.values()[0] - want.entropy);
    expect(off <= 4 * u * bits, s.text() + ": entropy off by " + to_string(off / u) + " u");
    // The mean distribution is off by a share of itself (kernels/lfq_entropy.h), p log p then by that times |log p + 1|. Sums of
    // the gradient are no longer than half a group's codes.
    const double longest = std::max<double>(static_cast<double>(s.n), std::exp2((group + 1) / 2));
    const double share = (std::min(256.0, longest) + 3 * bits + 8 + longest / 256) * u;
    double most = 0, room = 0;
    for (double p : want.mean) room += p * share * (std::fabs(std::log(std::max(p, 1e-300))) + 1);
    const double away = std::fabs(diversity.values()[0] - want.diversity);
    expect(away <= room + 4 * u * bits, s.text() + ": diversity off by " + to_string(away / u) + " u");
    for (int64_t c = 0; c < tables; ++c)
      if (want.mean[c] > 1e-30) most = std::max(most, std::fabs(slopes[c] + std::log(want.mean[c]) + 1) / (share + 4 * u * (std::fabs(std::log(want.mean[c])) + 1)));
    expect(most <= 1, s.text() + ": a slope is off by " + to_string(most) + " of its bound");
    double worst = 0;
    for (int64_t i = 0; i < size; ++i) {
      const double bound = share * want.room[i] + 1e-36;
      worst = std::max(worst, std::fabs(gradient[i] - want.gradient[i]) / bound);
      if (!(std::fabs(gradient[i]) < 1e30)) worst = 1e30;
    }
    expect(worst <= 1, s.text() + ": a gradient is off by " + to_string(worst) + " of its bound");
    // One term alone.
    const vq_lfq_entropy_gradient_args alone{s.n, s.bits, s.group, s.kappa, by_entropy, 0, 0, dz, table, out};
    expect(backend.lfq_entropy_gradient(context, &alone, nullptr) == VQ_OK, s.text() + ", one term: " + backend.last_error());
    const Exact one = exact(z, s.n, s.bits, s.group, s.kappa, by_entropy, 0, slopes);
    const vector<float> left = out.values();
    double odd = 0;
    for (int64_t i = 0; i < size; ++i) odd = std::max(odd, std::fabs(left[i] - one.gradient[i]) / (16 * u * one.room[i] + 1e-36));
    expect(odd <= 1, s.text() + ": the entropy's gradient is off by " + to_string(odd) + " of its bound");
  }
}

// Whatever the device does at the same time: the same bits again.
void DeviceCases::lfq_entropies_repeat() const {
  const int64_t n = large ? 300000 : 600, bits = large ? 14 : 8, tables = int64_t{1} << bits;
  DeviceArray<float> z(backend, context, draw(n * bits, 21)), entropy(backend, context, 1), diversity(backend, context, 1), table(backend, context, tables);
  vector<float> first;
  for (int turn = 0; turn < (large ? 20 : 2); ++turn) {
    const vq_lfq_entropy_args a{n, bits, bits, 2, 0, z, entropy, diversity, table};
    expect(backend.lfq_entropy(context, &a, nullptr) == VQ_OK, string("entropies again: ") + backend.last_error());
    vector<float> now = table.values();
    now.push_back(entropy.values()[0]), now.push_back(diversity.values()[0]);
    if (first.empty()) first = now;
    expect(same_bits(first, now), "entropies differ from one run to the next");
  }
  double sum = 0;
  for (int64_t c = 0; c < tables; ++c) sum += std::exp(-1.0 - first[c]);
  expect(std::fabs(sum - 1) < 1e-4, "the mean distribution adds up to " + to_string(sum));
}

}  // namespace vq_test
