// Residual encoding: the reference's bits on every route, greedy and by beam, from buffers and from host memory in blocks.
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>

#include "device_buffers.h"
#include "device_cases.h"
#include "device_reference.h"
#include "vq/quantize.h"

namespace vq_test {

using std::string;
using std::to_string;
using std::vector;

namespace {

void compare_residual(const DeviceCases& t, int64_t n, int64_t dim, const vector<float>& x,
                      const vector<vector<float>>& books, const string& what, int beam = 1) {
  const int64_t levels = static_cast<int64_t>(books.size());
  vector<const float*> at;
  vector<int64_t> sizes;
  for (const auto& b : books) at.push_back(b.data()), sizes.push_back(static_cast<int64_t>(b.size()) / dim);
  vector<int32_t> codes(n * levels);
  vector<float> quantized(n * dim), errors(n), each(n * levels);
  const Failure want = failure_of([&] {
    vq::residual_encode(x.data(), n, dim, at, sizes, beam, codes.data(), quantized.data(), errors.data(), nullptr, {t.threads});
    for (int64_t i = 0; i < n; ++i) {
      vector<float> left(x.begin() + i * dim, x.begin() + (i + 1) * dim);
      for (int64_t level = 0; level < levels; ++level) {
        float norm = 0;
        for (int64_t d = 0; d < dim; ++d) {
          left[d] -= books[level][codes[i * levels + level] * dim + d];
          norm = std::fma(left[d], left[d], norm);
        }
        each[i * levels + level] = norm;
      }
    }
  });
  const vq_backend& b = t.backend;
  DeviceArray<float> dx(b, t.context, x), dq(b, t.context, n * dim), de(b, t.context, n), dl(b, t.context, n * levels);
  vector<std::unique_ptr<DeviceArray<float>>> held;
  vector<const vq_buffer*> device_books;
  for (const auto& book : books) {
    held.push_back(std::make_unique<DeviceArray<float>>(b, t.context, book));
    device_books.push_back(*held.back());
  }
  for (bool all : {true, false}) {
    DeviceArray<int32_t> dc(b, t.context, n * levels);
    vq_residual_args args{n, dim, static_cast<int32_t>(levels), beam, dx, device_books.data(), sizes.data(), dc, dq, de, dl};
    if (!all) args.quantized = args.errors = args.level_errors = nullptr;
    const Failure got = failure_of(b, b.residual_encode(t.context, &args, nullptr));
    const string where = what + " " + to_string(n) + " x " + to_string(dim) + ", " + to_string(levels) + " levels, beam " +
                         to_string(beam);
    t.expect(got == want, where + ": '" + got.text + "', expected '" + want.text + "'");
    t.expect(dc.intact() && dq.intact() && de.intact() && dl.intact(), where + ": wrote past an end");
    if (want.code != VQ_OK || got.code != VQ_OK) continue;
    t.expect(same_bits(dc.values(), codes), where + ": other codes");
    t.expect(same_bits(dq.values(), quantized), where + ": other sums");
    t.expect(same_bits(de.values(), errors), where + ": other errors");
    t.expect(same_bits(dl.values(), each), where + ": other errors per level");
  }
  for (int64_t block : {0, 1, 1024}) {
    vector<int32_t> host_codes(n * levels);
    vector<float> host_quantized(n * dim), host_errors(n), host_each(n * levels);
    vq_residual_args args{};
    args.n = n, args.dim = dim, args.levels = static_cast<int32_t>(levels), args.beam = beam;
    args.codebooks = device_books.data(), args.sizes = sizes.data(), args.block_rows = block;
    const float nothing = 0;
    args.host_x = n ? x.data() : &nothing, args.host_codes = host_codes.data();
    args.host_quantized = host_quantized.data(), args.host_errors = host_errors.data(), args.host_level_errors = host_each.data();
    const Failure got = failure_of(b, b.residual_encode(t.context, &args, nullptr));
    const string where = what + " from the host, " + to_string(n) + " x " + to_string(dim) + ", blocks of " + to_string(block);
    t.expect(got == want, where + ": '" + got.text + "', expected '" + want.text + "'");
    if (want.code != VQ_OK || got.code != VQ_OK) continue;
    t.expect(same_bits(host_codes, codes) && same_bits(host_quantized, quantized), where + ": other codes");
    t.expect(same_bits(host_errors, errors) && same_bits(host_each, each), where + ": other errors");
  }
}

}  // namespace

void DeviceCases::residual_sizes() const {
  vq::Philox g(8);
  for (int i = 0; i < (large ? 40 : 14); ++i) {
    const int64_t n = i == 0 ? 0 : 1 + g.below(large ? 20000 : 200), dim = 1 + g.below(large ? 200 : 40), levels = 1 + g.below(5);
    vector<vector<float>> books;
    for (int64_t level = 0; level < levels; ++level)
      books.push_back(draw((1 + g.below(large ? 600 : 90)) * dim, 30 + level, 1.0f / static_cast<float>(1 + level)));
    compare_residual(*this, n, dim, draw(n * dim, 20 + i), books, "residual");
  }
}

void DeviceCases::residual_failures() const {
  const int64_t n = 200, dim = 7;
  const vector<float> x = draw(n * dim, 3), a = draw(20 * dim, 4), c = draw(30 * dim, 5);
  for (float poison : {std::nanf(""), std::numeric_limits<float>::infinity(), 1e38f, 1e19f}) {
    vector<float> bad = x, book = c;
    for (int row : {170, 113, 120}) bad[row * dim + 2] = poison;
    compare_residual(*this, n, dim, bad, {a, c}, "a poisoned row");
    book[11 * dim + 1] = poison;
    compare_residual(*this, n, dim, x, {a, book}, "a poisoned code");
  }
}

// What fits one launch, what does not, and the edges of both.
void DeviceCases::residual_routes() const {
  struct Shape {
    int64_t n, dim, levels, k;
  };
  vector<Shape> shapes = {{127, 64, 3, 64}, {129, 63, 2, 65}, {65, 65, 2, 130}, {63, 128, 2, 63},
                          {70, 129, 2, 20}, {20, 17, 16, 5},  {20, 17, 17, 5},  {1100, 3, 2, 7}};
  if (large) shapes.insert(shapes.end(), {{100000, 64, 8, 1024}, {3000, 96, 4, 20000}, {5000, 128, 2, 100000}});
  for (const Shape& s : shapes) {
    vector<vector<float>> books;
    for (int64_t l = 0; l < s.levels; ++l) books.push_back(draw(s.k * s.dim, 60 + l, 1.0f / static_cast<float>(1 + l)));
    std::copy_n(books[0].begin(), s.dim, books[0].end() - s.dim);  // a duplicate: the lower code wins
    compare_residual(*this, s.n, s.dim, draw(s.n * s.dim, 50), books, "residual routes");
  }
}

void DeviceCases::residual_beams() const {
  vq::Philox g(18);
  for (int beam : {2, 3, 5, 32}) {
    const int64_t n = 70, dim = 1 + g.below(40), levels = 1 + g.below(4);
    vector<vector<float>> books;
    for (int64_t l = 0; l < levels; ++l) books.push_back(draw((1 + g.below(80)) * dim, 40 + l, 1.0f / static_cast<float>(1 + l)));
    compare_residual(*this, n, dim, draw(n * dim, 41), books, "beam", beam);
  }
  // Ties in error between codes and between parents, on a grid; more paths than codes.
  vector<vector<float>> grid(3, draw(6 * 2, 5));
  for (auto& book : grid)
    for (float& v : book) v = std::round(v);
  vector<float> x = draw(90 * 2, 6, 2);
  for (float& v : x) v = std::round(v);
  for (int beam : {2, 4, 40}) compare_residual(*this, 90, 2, x, grid, "beam on a grid", beam);
  if (large) {
    compare_residual(*this, 20000, 64, draw(20000 * 64, 7), {draw(512 * 64, 8), draw(512 * 64, 9, 0.5f)}, "beam", 5);
    compare_residual(*this, 20, 8, draw(20 * 8, 7), {draw(2000 * 8, 8), draw(1500 * 8, 9, 0.5f)}, "the widest beam", 1024);
  }
  const vector<float> rows = draw(60 * 3, 3), a = draw(20 * 3, 4), c = draw(30 * 3, 5);
  for (float poison : {std::nanf(""), std::numeric_limits<float>::infinity(), 1e38f, 1e19f, -3e19f}) {
    vector<float> bad = rows, book = c;
    for (int row : {40, 33, 50}) bad[row * 3 + 2] = poison;
    compare_residual(*this, 60, 3, bad, {a, c}, "beam, a poisoned row", 3);
    book[11 * 3 + 1] = poison;
    compare_residual(*this, 60, 3, rows, {a, book}, "beam, a poisoned code", 3);
  }
  DeviceArray<float> dx(backend, context, rows);
  DeviceArray<int32_t> dc(backend, context, 60);
  const vq_buffer* books[] = {dx};
  const int64_t sizes[] = {5};
  for (int beam : {0, 1025}) {
    const vq_residual_args args{60, 3, 1, beam, dx, books, sizes, dc, nullptr, nullptr, nullptr};
    expect(backend.residual_encode(context, &args, nullptr) == VQ_ERROR_CONFIG, "beam " + to_string(beam));
  }
}

}  // namespace vq_test
