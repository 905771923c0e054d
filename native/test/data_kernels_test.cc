// Kernels that scatter, order, count and transform, called as the binding calls them: right on small cases, and typed
// errors rather than stray reads where indices, sizes or buffers are wrong. The sanitized build runs these too.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <string>
#include <vector>

#include "check.h"
#include "vq/op.h"

namespace {

template <class T>
int32_t put(vq::Context& c, const std::vector<T>& values) {
  const int32_t handle = c.allocate(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(c.at(handle).data, values.data(), values.size() * sizeof(T));
  return handle;
}

template <class T>
std::vector<T> get(vq::Context& c, int32_t handle) {
  const T* p = static_cast<const T*>(c.at(handle).data);
  return std::vector<T>(p, p + c.at(handle).bytes / sizeof(T));
}

// Runs a kernel; the answer, or NaN where it threw a typed error.
double call(vq::Context& c, const std::string& name, std::vector<double> args) {
  const size_t count = args.size();
  args.resize(vq::Args::kCapacity);
  for (const auto& op : vq::op_table()) {
    if (name != op.name) continue;
    try {
      vq::Args a(c, args.data(), static_cast<int>(count));
      op.run(a);
      return args[0];
    } catch (const vq::Error&) {
      return std::numeric_limits<double>::quiet_NaN();
    }
  }
  VQ_EXPECT(!"kernel exists");
  return 0;
}

using Floats = std::vector<float>;
using Ints = std::vector<int32_t>;

}  // namespace

VQ_TEST(data_kernels_scatter_and_gather_by_coordinates) {
  vq::Context c;
  c.threads = 2;
  const int32_t rows = put(c, Ints{2, 0, 2}), updates = put(c, Floats{1, 2, 3, 4, 5, 6}), out = put(c, Floats(6));
  call(c, "Scatter", {1, 0, 0, 3, 1, 3, double(rows), 2, double(updates), double(out)});
  VQ_EXPECT((get<float>(c, out) == Floats{3, 4, 0, 0, 6, 8}));
  const int32_t back = put(c, Floats(6));
  call(c, "GatherNd", {0, 3, 1, 3, double(rows), 2, double(out), double(back)});
  VQ_EXPECT((get<float>(c, back) == Floats{6, 8, 3, 4, 6, 8}));
  for (const Ints& wrong : {Ints{3, 0, 0}, Ints{0, -1, 0}, Ints{0, 0, 1 << 30}}) {
    const int32_t far = put(c, wrong);
    VQ_EXPECT(std::isnan(call(c, "Scatter", {1, 0, 0, 3, 1, 3, double(far), 2, double(updates), double(out)})));
    VQ_EXPECT(std::isnan(call(c, "GatherNd", {0, 3, 1, 3, double(far), 2, double(out), double(back)})));
    VQ_EXPECT(std::isnan(call(c, "GatherV2", {0, 1, 1, 3, 3, 2, double(out), double(far), double(back)})));
    VQ_EXPECT(std::isnan(call(c, "SparseSegments", {0, 0, 3, 3, 2, 2, double(updates), double(far), double(rows), double(out)})));
  }
  // buffers too small for what the sizes say
  VQ_EXPECT(std::isnan(call(c, "Scatter", {1, 0, 0, 4, 1, 3, double(rows), 2, double(updates), double(out)})));
  VQ_EXPECT(std::isnan(call(c, "GatherNd", {0, 3, 1, 4, double(rows), 2, double(out), double(back)})));
}

VQ_TEST(data_kernels_scan_count_and_order) {
  vq::Context c;
  c.threads = 2;
  const int32_t x = put(c, Floats{3, -1, 2, 5, 5, 0}), out = put(c, Floats(6));
  call(c, "Cumulative", {0, 1, 1, 0, 2, 3, 1, double(x), double(out)});
  VQ_EXPECT((get<float>(c, out) == Floats{1, 2, 0, 5, 0, 0}));
  const int32_t values = put(c, Floats(4)), places = put(c, Ints(4));
  call(c, "TopK", {0, 2, 3, 2, double(x), double(values), double(places)});
  VQ_EXPECT((get<float>(c, values) == Floats{3, 2, 5, 5}));
  VQ_EXPECT((get<int32_t>(c, places) == Ints{0, 2, 0, 1}));
  VQ_EXPECT(std::isnan(call(c, "TopK", {0, 2, 3, 4, double(x), double(values), double(places)})));
  const int32_t bins = put(c, Ints(3)), seen = put(c, Ints{1, 2, 1, 9});
  call(c, "Bincount", {1, 0, 1, 4, 3, double(seen), -1, double(bins)});
  VQ_EXPECT((get<int32_t>(c, bins) == Ints{0, 2, 1}));
  VQ_EXPECT(std::isnan(call(c, "Bincount", {1, 0, 1, 1, 3, double(put(c, Ints{-1})), -1, double(bins)})));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const int32_t odd = put(c, Floats{0, nan, -0.0f, nan}), numbers = put(c, Ints(4)), firsts = put(c, Ints(4));
  VQ_EXPECT(call(c, "Unique", {0, 1, 4, 1, double(odd), double(numbers), double(firsts)}) == 2);
  VQ_EXPECT((get<int32_t>(c, numbers) == Ints{0, 1, 0, 1}));
  VQ_EXPECT(call(c, "Unique", {0, 0, 4, 3, double(odd), double(numbers), double(firsts)}) == 1);
}

VQ_TEST(data_kernels_transform_rows_of_every_length) {
  vq::Context c;
  c.threads = 2;
  for (int n = 0; n <= 40; ++n) {
    Floats re(2 * n), im(2 * n);
    for (int i = 0; i < 2 * n; ++i) re[i] = std::sin(i * 1.7f), im[i] = std::cos(i * 2.3f);
    const int32_t a = put(c, re), b = put(c, im), fa = put(c, re), fb = put(c, im), ra = put(c, re), rb = put(c, im);
    call(c, "Fourier", {0, 2, double(n), double(a), double(b), double(fa), double(fb)});
    call(c, "Fourier", {1, 2, double(n), double(fa), double(fb), double(ra), double(rb)});
    const Floats out = get<float>(c, fa), back = get<float>(c, ra);
    for (int row = 0; row < 2; ++row)
      for (int f = 0; f < n; ++f) {
        double sum = 0;
        for (int k = 0; k < n; ++k) {
          const double angle = -2 * 3.14159265358979323846 * (f * k % n) / n;
          sum += re[row * n + k] * std::cos(angle) - im[row * n + k] * std::sin(angle);
        }
        VQ_EXPECT(std::fabs(out[row * n + f] - sum) < 1e-5);
        VQ_EXPECT(std::fabs(back[row * n + f] - re[row * n + f]) < 1e-6);
      }
  }
  const int32_t small = put(c, Floats(3));
  VQ_EXPECT(std::isnan(call(c, "Fourier", {0, 1, 4, double(small), double(small), double(small), double(small)})));
}

VQ_TEST(data_kernels_integer_products_wrap) {
  vq::Context c;
  const int32_t a = put(c, Ints{16777217, 3}), b = put(c, Ints{1, 7}), out = put(c, Ints(1));
  call(c, "MatMulInt32", {1, 1, 1, 1, 1, 2, 0, 0, double(a), double(b), double(out)});
  VQ_EXPECT(get<int32_t>(c, out)[0] == 16777238);
  const int32_t large = put(c, Ints{2147483647, 2147483647});
  call(c, "MatMulInt32", {1, 1, 1, 1, 1, 2, 0, 1, double(large), double(b), double(out)});
  VQ_EXPECT(get<int32_t>(c, out)[0] == -8);  // 8 · (2³¹ − 1)
  VQ_EXPECT(std::isnan(call(c, "MatMulInt32", {3, 2, 1, 1, 1, 2, 0, 0, double(a), double(b), double(out)})));
}
