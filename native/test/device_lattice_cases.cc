// Finite scalar and lookup-free codes of a device: the bits of the CPU, and its words.
#include <limits>
#include <string>
#include <vector>

#include "device_buffers.h"
#include "device_cases.h"
#include "device_reference.h"
#include "vq/codes.h"

namespace vq_test {

using std::string;
using std::to_string;
using std::vector;

namespace {

// What rounding and signs find hard: half levels, zeros, subnormals, the largest numbers.
void make_hard(vector<float>& z) {
  for (size_t i = 0; i < z.size(); i += 7) z[i] *= i % 3 ? 1e-6f : 1e6f;
  const float some[] = {0.0f, -0.0f, 1e-42f, -1e-42f, std::numeric_limits<float>::max(), -std::numeric_limits<float>::max(), 0.625f, -0.625f};
  for (size_t i = 0; i < 8 && 11 * i < z.size(); ++i) z[11 * i] = some[i];
}

const vector<vector<int32_t>> kLevels = {{2}, {3}, {7, 5}, {8, 5, 5, 5}, {65536, 7}, {4, 3, 2, 5, 7, 6, 11}, vector<int32_t>(30, 2),
                                         {3, 2, 2, 3, 2, 2, 3, 2, 2, 3, 2, 2, 3, 2, 2, 3}};

}  // namespace

void DeviceCases::fsq_codes() const {
  for (const vector<int32_t>& levels : kLevels)
    for (int32_t bound : {VQ_FSQ_ORIGINAL, VQ_FSQ_SYMMETRIC})
      for (int64_t n : {0, 1, 99, large ? 200000 : 700}) {
        const int64_t dim = static_cast<int64_t>(levels.size());
        const vq::FsqLevels l(vector<int64_t>(levels.begin(), levels.end()), static_cast<vq::gpu::FsqBound>(bound));
        const string where = "fsq " + to_string(n) + " x " + to_string(dim) + (bound ? " symmetric" : "");
        vector<float> z = draw(n * dim, 5, 1.5f), g = draw(n * dim, 6), values(n * dim), bounded(n * dim), gradient(n * dim);
        make_hard(z);
        vector<int32_t> codes(n);
        vq::fsq_encode(z.data(), n, l, values.data(), codes.data(), {threads});
        vq::fsq_bound(z.data(), n, l, bounded.data(), {threads});
        vq::fsq_gradient(z.data(), g.data(), n, l, gradient.data(), {threads});

        DeviceArray<float> dz(backend, context, z), dg(backend, context, g), dv(backend, context, n * dim), db(backend, context, n * dim);
        DeviceArray<float> out(backend, context, n * dim), back(backend, context, n * dim);
        DeviceArray<int32_t> dc(backend, context, n), alone(backend, context, n);
        const vq_fsq_args all{n, dim, bound, 0, levels.data(), dz, dc, dv, db}, only{n, dim, bound, 0, levels.data(), dz, alone, nullptr, nullptr};
        expect(backend.fsq_encode(context, &all, nullptr) == VQ_OK, where + ": " + backend.last_error());
        expect(backend.fsq_encode(context, &only, nullptr) == VQ_OK, where + " codes alone: " + backend.last_error());
        expect(same_bits(dc.values(), codes) && same_bits(alone.values(), codes), where + ": other codes than the CPU");
        expect(same_bits(dv.values(), values), where + ": other values than the CPU");
        expect(same_bits(db.values(), bounded), where + ": other bounded values than the CPU");
        const vq_fsq_gradient_args grad{n, dim, bound, 0, levels.data(), dz, dg, out};
        expect(backend.fsq_gradient(context, &grad, nullptr) == VQ_OK, where + " gradient: " + backend.last_error());
        expect(same_bits(out.values(), gradient), where + ": another gradient than the CPU");
        const vq_fsq_decode_args decode{n, dim, bound, 0, levels.data(), dc, back};
        expect(backend.fsq_decode(context, &decode, nullptr) == VQ_OK, where + " back: " + backend.last_error());
        expect(same_bits(back.values(), values), where + ": codes decode to other values");
        expect(dc.intact() && alone.intact() && dv.intact() && db.intact() && out.intact() && back.intact(), where + ": wrote past an end");
        const vq_fsq_gradient_args in_place{n, dim, bound, 0, levels.data(), dz, dg, dg};
        expect(backend.fsq_gradient(context, &in_place, nullptr) == VQ_OK && same_bits(dg.values(), gradient), where + ": in place of g");
      }
}

void DeviceCases::lfq_codes() const {
  for (int64_t bits : {1, 2, 3, 10, 18, 31})
    for (int64_t n : {0, 1, 97, large ? 300000 : 1100}) {
      const string where = "lfq " + to_string(n) + " x " + to_string(bits);
      vector<float> z = draw(n * bits, 7), values(n * bits);
      make_hard(z);
      vector<int32_t> codes(n);
      vq::lfq_encode(z.data(), n, bits, 0.25f, values.data(), codes.data(), {threads});
      DeviceArray<float> dz(backend, context, z), dv(backend, context, n * bits), back(backend, context, n * bits);
      DeviceArray<int32_t> dc(backend, context, n);
      const vq_lfq_args a{n, bits, 0.25f, 0, dz, dc, dv};
      expect(backend.lfq_encode(context, &a, nullptr) == VQ_OK, where + ": " + backend.last_error());
      expect(same_bits(dc.values(), codes) && same_bits(dv.values(), values), where + ": other codes or values than the CPU");
      const vq_lfq_decode_args d{n, bits, 0.25f, 0, dc, back};
      expect(backend.lfq_decode(context, &d, nullptr) == VQ_OK, where + " back: " + backend.last_error());
      expect(same_bits(back.values(), values), where + ": codes decode to other values");
      expect(dc.intact() && dv.intact() && back.intact(), where + ": wrote past an end");
    }
}

void DeviceCases::lattice_failures() const {
  const int32_t levels[] = {5, 4};
  const vq::FsqLevels l({5, 4}, vq::gpu::FsqBound::kOriginal);
  const int64_t n = 2000;
  DeviceArray<float> out(backend, context, n * 2), tables(backend, context, 4), one(backend, context, 1), two(backend, context, 1);
  DeviceArray<int32_t> codes(backend, context, n);
  for (float poison : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity()}) {
    vector<float> z = draw(n * 2, 8);
    for (int row : {1965, 741, 952}) z[row * 2 + 1] = poison;
    DeviceArray<float> dz(backend, context, z);
    vector<int32_t> indices(n);
    const Failure want = failure_of([&] { vq::fsq_encode(z.data(), n, l, nullptr, indices.data(), {threads}); });
    const vq_fsq_args fsq{n, 2, 0, 0, levels, dz, codes, nullptr, nullptr};
    const vq_lfq_args lfq{n, 2, 1, 0, dz, codes, nullptr};
    const vq_lfq_entropy_args entropy{n, 2, 2, 1, 0, dz, one, two, tables};
    for (int code : {backend.fsq_encode(context, &fsq, nullptr), backend.lfq_encode(context, &lfq, nullptr),
                     backend.lfq_entropy(context, &entropy, nullptr)}) {
      const Failure got = failure_of(backend, code);
      expect(got == want && want.text.rfind("row 741 has no code", 0) == 0, "a poisoned row: '" + got.text + "', expected '" + want.text + "'");
    }
  }
  for (const vector<int32_t>& bad : {vector<int32_t>{3, 20, -1}, {3, -1, 20}, {0, INT32_MAX, 0}}) {
    float values[6];
    const Failure want = failure_of([&] { vq::fsq_decode(bad.data(), 3, l, values, {threads}); });
    DeviceArray<int32_t> indices(backend, context, bad);
    const vq_fsq_decode_args a{3, 2, 0, 0, levels, indices, out};
    expect(failure_of(backend, backend.fsq_decode(context, &a, nullptr)) == want, "fsq codes outside: '" + string(backend.last_error()) + "'");
    const Failure signs = failure_of([&] { vq::lfq_decode(bad.data(), 3, 2, 1, values, {threads}); });
    const vq_lfq_decode_args b{3, 2, 1, 0, indices, out};
    expect(failure_of(backend, backend.lfq_decode(context, &b, nullptr)) == signs, "lfq codes outside: '" + string(backend.last_error()) + "'");
  }
  DeviceArray<float> z(backend, context, draw(n * 2, 9));
  const int32_t wrong[][2] = {{1, 4}, {65537, 2}, {65536, 65536}, {0, 3}, {-2, 3}};
  for (const auto& w : wrong) {
    const vq_fsq_args a{n, 2, 0, 0, w, z, codes, nullptr, nullptr};
    expect(backend.fsq_encode(context, &a, nullptr) == VQ_ERROR_CONFIG, "levels out of range");
  }
  const int32_t many[32] = {};
  const vq_fsq_args wide{1, 32, 0, 0, many, z, codes, nullptr, nullptr}, none{1, 0, 0, 0, levels, z, codes, nullptr, nullptr};
  const vq_fsq_args other{n, 2, 2, 0, levels, z, codes, nullptr, nullptr}, far{n + 1000, 2, 0, 0, levels, z, codes, nullptr, nullptr};
  expect(backend.fsq_encode(context, &wide, nullptr) == VQ_ERROR_CONFIG && backend.fsq_encode(context, &none, nullptr) == VQ_ERROR_CONFIG, "dim out of range");
  expect(backend.fsq_encode(context, &other, nullptr) == VQ_ERROR_CONFIG, "an unknown bound");
  expect(backend.fsq_encode(context, &far, nullptr) == VQ_ERROR_SHAPE, "rows that the buffers lack");
  for (int64_t bits : {0, 32}) {
    const vq_lfq_args a{1, bits, 1, 0, z, codes, nullptr};
    expect(backend.lfq_encode(context, &a, nullptr) == VQ_ERROR_CONFIG, "bits out of range");
  }
  vq_lfq_entropy_args a{n, 2, 27, 1, 0, z, one, two, tables};
  expect(backend.lfq_entropy(context, &a, nullptr) == VQ_ERROR_CONFIG, "a group out of range");
  a.group = 2, a.n = 0;
  expect(backend.lfq_entropy(context, &a, nullptr) == VQ_ERROR_SHAPE, "no rows");
  a.n = 100, a.bits = 40, a.group = 20;
  expect(backend.lfq_entropy(context, &a, nullptr) == VQ_ERROR_SHAPE, "a table that is too small");
}

}  // namespace vq_test
