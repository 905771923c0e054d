// Window and image kernels at their boundaries, run as the binding runs them: wrong sizes must be errors, and under
// AddressSanitizer no kernel may touch what is not its own. Values are checked against plain loops where they are short.
#include <hwy/targets.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "check.h"
#include "vq/op.h"

namespace {

// Calls kernels by name on buffers of its own.
struct Caller {
  vq::Context context;
  std::vector<int32_t> handles;

  explicit Caller(int threads) { context.threads = threads; }
  int32_t floats(int64_t n, uint32_t seed) {
    const int32_t h = context.allocate(n * 4);
    handles.push_back(h);
    for (int64_t i = 0; i < n; ++i) {
      seed = seed * 1664525u + 1013904223u;
      data(h)[i] = static_cast<float>(seed >> 8) / 8388608.0f - 1.0f;
    }
    return h;
  }
  int32_t bytes(int64_t n) {
    handles.push_back(context.allocate(n));
    std::memset(context.at(handles.back()).data, 1, n);
    return handles.back();
  }
  float* data(int32_t h) { return static_cast<float*>(context.at(h).data); }
  // Whether the kernel took the arguments.
  bool run(const char* name, std::vector<double> values) {
    const int count = static_cast<int>(values.size());
    values.resize(vq::Args::kCapacity);
    for (const auto& op : vq::op_table()) {
      if (std::string(op.name) != name) continue;
      vq::Args args(context, values.data(), count);
      try {
        op.run(args);
        return true;
      } catch (const vq::Error&) {
        return false;
      }
    }
    VQ_EXPECT(!"a kernel of that name exists");
    return false;
  }
  ~Caller() {
    for (int32_t h : handles) context.release(h);
  }
};

struct Case {
  int64_t batch, channels, in_h, in_w, out_h, out_w, kernel_h, kernel_w, stride, dilation, pad_top, pad_left;
  std::vector<double> window() const {
    std::vector<double> v;
    for (int64_t n : {batch, channels, int64_t{1}, int64_t{1}, int64_t{1}, int64_t{1}, int64_t{1}, int64_t{0}, in_h, out_h, kernel_h,
                      stride, dilation, pad_top, in_w, out_w, kernel_w, stride, dilation, pad_left})
      v.push_back(static_cast<double>(n));
    return v;
  }
  int64_t in() const { return batch * in_h * in_w * channels; }
  int64_t out() const { return batch * out_h * out_w * channels; }
  int64_t filter() const { return kernel_h * kernel_w * channels; }
};

std::vector<double> join(std::vector<double> a, const std::vector<double>& b, const std::vector<double>& c = {}) {
  a.insert(a.end(), b.begin(), b.end());
  a.insert(a.end(), c.begin(), c.end());
  return a;
}

// Calls visit(x, w, y) for every product of a depthwise convolution.
template <class Visit>
void products(const Case& s, const Visit& visit) {
  for (int64_t n = 0; n < s.batch; ++n)
    for (int64_t r = 0; r < s.out_h; ++r)
      for (int64_t c = 0; c < s.out_w; ++c)
        for (int64_t i = 0; i < s.kernel_h; ++i)
          for (int64_t j = 0; j < s.kernel_w; ++j) {
            const int64_t u = r * s.stride + i * s.dilation - s.pad_top, v = c * s.stride + j * s.dilation - s.pad_left;
            if (u < 0 || v < 0 || u >= s.in_h || v >= s.in_w) continue;
            for (int64_t k = 0; k < s.channels; ++k)
              visit(((n * s.in_h + u) * s.in_w + v) * s.channels + k, (i * s.kernel_w + j) * s.channels + k,
                    ((n * s.out_h + r) * s.out_w + c) * s.channels + k);
          }
}

void near(const float* got, const std::vector<double>& expected) {
  for (size_t i = 0; i < expected.size(); ++i) VQ_EXPECT(std::fabs(got[i] - expected[i]) <= 1e-4 * (1 + std::fabs(expected[i])));
}

void depthwise(const Case& s, int threads) {
  Caller c(threads);
  const int32_t x = c.floats(s.in(), 1), w = c.floats(s.filter(), 2), dy = c.floats(s.out(), 3);
  const int32_t y = c.floats(s.out(), 0), dx = c.floats(s.in(), 0), dw = c.floats(s.filter(), 0);
  const auto window = join(s.window(), {1});
  std::vector<double> ey(s.out()), edx(s.in()), edw(s.filter());
  const float *vx = c.data(x), *vw = c.data(w), *vdy = c.data(dy);
  products(s, [&](int64_t a, int64_t b, int64_t o) {
    ey[o] += static_cast<double>(vx[a]) * vw[b];
    edx[a] += static_cast<double>(vdy[o]) * vw[b];
    edw[b] += static_cast<double>(vdy[o]) * vx[a];
  });
  auto h = [](int32_t v) { return static_cast<double>(v); };
  VQ_EXPECT(c.run("DepthwiseConv2D", join(window, {0, h(x), h(w), -1, h(y)})));
  near(c.data(y), ey);
  VQ_EXPECT(c.run("DepthwiseConv2DBackpropInput", join(window, {h(dy), h(w), h(dx)})));
  near(c.data(dx), edx);
  VQ_EXPECT(c.run("DepthwiseConv2DBackpropFilter", join(window, {h(x), h(dy), h(dw)})));
  near(c.data(dw), edw);
  // A buffer that is too small is refused.
  if (s.out() > 0 && s.in() > 0) {
    const int32_t little = c.floats(s.out() - 1, 4);
    VQ_EXPECT(!c.run("DepthwiseConv2D", join(window, {0, h(x), h(w), -1, h(little)})));
  }
}

void pooling(const Case& s, int threads) {
  if (s.dilation != 1) return;
  Caller c(threads);
  auto h = [](int32_t v) { return static_cast<double>(v); };
  const int32_t x = c.floats(s.in(), 1), dy = c.floats(s.out(), 2), y = c.floats(s.out(), 0), dx = c.floats(s.in(), 0);
  const auto window = s.window();
  std::vector<double> most(s.out(), -INFINITY), sum(s.out()), count(s.out()), share(s.in());
  const float *vx = c.data(x), *vdy = c.data(dy);
  products(s, [&](int64_t a, int64_t, int64_t o) { most[o] = std::max(most[o], static_cast<double>(vx[a])), sum[o] += vx[a], ++count[o]; });
  products(s, [&](int64_t a, int64_t, int64_t o) { share[a] += vdy[o] / count[o]; });
  VQ_EXPECT(c.run("MaxPool", join(join({0}, window), {h(x), h(y)})));
  for (int64_t i = 0; i < s.out(); ++i) VQ_EXPECT(static_cast<double>(c.data(y)[i]) == most[i]);
  VQ_EXPECT(c.run("MaxPool", join(join({1}, window), {h(x), h(y)})));
  VQ_EXPECT(c.run("MaxPoolPositions", join(join({1, 0}, window), {h(x), h(y)})));
  VQ_EXPECT(c.run("AvgPool", join(join({0}, window), {0, h(x), h(y)})));
  for (int64_t i = 0; i < s.out(); ++i)
    VQ_EXPECT(std::fabs(c.data(y)[i] - (count[i] > 0 ? sum[i] / count[i] : 0)) < 1e-5);
  VQ_EXPECT(c.run("AvgPoolGrad", join(window, {h(dy), h(dx)})));
  near(c.data(dx), share);
  for (double last : {0.0, 1.0}) {
    VQ_EXPECT(c.run("MaxPoolGrad", join(join({last}, window), {h(x), h(dy), h(dx)})));
    double given = 0, arrived = 0;
    for (int64_t i = 0; i < s.out(); ++i) given += count[i] > 0 ? c.data(dy)[i] : 0;
    for (int64_t i = 0; i < s.in(); ++i) arrived += c.data(dx)[i];
    VQ_EXPECT(std::fabs(given - arrived) < 1e-3);
  }
  const int32_t w = c.floats(s.filter(), 5), dw = c.floats(s.filter(), 0);
  VQ_EXPECT(c.run("Dilation2D", join(join({0}, window), {h(x), h(w), h(y)})));
  VQ_EXPECT(c.run("Dilation2DBackpropInput", join(window, {h(x), h(w), h(dy), h(dx)})));
  VQ_EXPECT(c.run("Dilation2DBackpropFilter", join(window, {h(x), h(w), h(dy), h(dw)})));
}

const std::vector<Case> kCases = {
    {2, 16, 8, 8, 8, 8, 3, 3, 1, 1, 1, 1},   {1, 33, 9, 7, 5, 4, 3, 3, 2, 1, 1, 1},  {3, 5, 6, 11, 4, 9, 3, 3, 1, 1, 0, 0},
    {2, 1, 7, 7, 3, 3, 2, 2, 2, 1, 0, 0},    {1, 70, 5, 6, 5, 6, 3, 3, 1, 2, 2, 2},  {2, 4, 3, 3, 9, 9, 2, 2, 1, 1, 4, 4},
    {0, 3, 4, 4, 4, 4, 3, 3, 1, 1, 1, 1},    {2, 17, 1, 1, 1, 1, 5, 5, 1, 1, 2, 2},  {1, 3, 6, 6, 3, 3, 1, 1, 2, 1, -1, -1},
    {2, 20, 12, 3, 12, 3, 4, 2, 1, 1, 2, 0}, {1, 130, 4, 4, 2, 2, 3, 3, 3, 1, 1, 1}, {1, 2, 4, 4, 0, 0, 3, 3, 1, 1, 0, 0},
};

}  // namespace

VQ_TEST(window_kernels_agree_with_plain_loops_at_every_instruction_set) {
  for (int64_t target : {static_cast<int64_t>(HWY_SCALAR), static_cast<int64_t>(HWY_AVX2), static_cast<int64_t>(HWY_AVX3)}) {
    hwy::SetSupportedTargetsForTest(0);
    if ((hwy::SupportedTargets() & target) == 0) continue;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().DeInit();
    for (int threads : {1, 3})
      for (const Case& s : kCases) {
        depthwise(s, threads);
        pooling(s, threads);
      }
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

VQ_TEST(window_kernels_refuse_sizes_that_overflow_or_divide_by_zero) {
  Caller c(1);
  const double x = c.floats(16, 1), y = c.floats(16, 2);
  const Case good{1, 1, 4, 4, 4, 4, 1, 1, 1, 1, 0, 0};
  VQ_EXPECT(c.run("MaxPool", join(join({0}, good.window()), {x, y})));
  for (auto [place, value] : std::vector<std::pair<int, double>>{{0, -1}, {0, 3e9}, {1, 3e9}, {8, 1e18}, {11, 0}, {12, 0}, {12, 2}, {10, -1}, {13, 1e12}, {9, 5}}) {
    auto bad = good.window();
    bad[place] = value;
    VQ_EXPECT(!c.run("MaxPool", join(join({0}, bad), {x, y})));
  }
  VQ_EXPECT(!c.run("MaxPool", good.window()));  // too few arguments
}

VQ_TEST(image_kernels_stay_inside_their_images) {
  for (int threads : {1, 3}) {
    Caller c(threads);
    for (int64_t channels : {1, 3, 4, 9})
      for (int64_t size : {1, 2, 5}) {
        const double n = 2, h = static_cast<double>(size), w = h + 1, k = static_cast<double>(channels);
        const int64_t in = 2 * size * (size + 1) * channels;
        const double x = c.floats(in, 1), flipped = c.floats(in, 0), back = c.floats(in, 0);
        VQ_EXPECT(c.run("FlipLeftRight", {0, n, h, w, k, x, flipped}) && c.run("FlipLeftRight", {0, n, h, w, k, flipped, back}));
        VQ_EXPECT(std::memcmp(c.data(static_cast<int32_t>(x)), c.data(static_cast<int32_t>(back)), in * 4) == 0);
        const double few = c.bytes(in), more = c.bytes(in);
        VQ_EXPECT(c.run("FlipLeftRight", {2, n, h, w, k, few, more}));
        for (double angle : {0.0, 0.7, 3.1, 1e300})
          VQ_EXPECT(c.run("RotateWithOffset", {0, n, h, w, k, std::sin(angle), std::cos(angle), w / 2, h / 2, 1, 2, 3, 4, 5, x, back}));
        for (double align : {0.0, 1.0})
          for (double half : {0.0, 1.0})
            for (int64_t out : {1, 2, 7}) {
              const double oh = static_cast<double>(out), y = c.floats(2 * out * out * channels, 3);
              VQ_EXPECT(c.run("ResizeBilinear", {n, h, w, oh, oh, k, align, half, x, y}));
              VQ_EXPECT(c.run("ResizeBilinearGrad", {n, h, w, oh, oh, k, align, half, y, back}));
              VQ_EXPECT(c.run("ResizeNearestNeighbor", {0, n, h, w, oh, oh, k, align, half, x, y}));
              VQ_EXPECT(c.run("ResizeNearestNeighborGrad", {n, h, w, oh, oh, k, align, half, y, back}));
            }
        const double transforms = c.floats(16, 5), crop = c.floats(3 * 4 * channels, 6), boxes = c.floats(12, 7), which = c.bytes(12);
        c.data(static_cast<int32_t>(transforms))[0] = NAN;
        c.data(static_cast<int32_t>(transforms))[9] = 3e38f;
        for (double mode : {0.0, 1.0, 2.0, 3.0})
          for (double bilinear : {0.0, 1.0}) VQ_EXPECT(c.run("Transform", {0, n, h, w, k, h, w, 2, bilinear, mode, 7, transforms, x, back}));
        auto* image = reinterpret_cast<int32_t*>(c.data(static_cast<int32_t>(which)));
        image[0] = 0, image[1] = 1, image[2] = 9;
        c.data(static_cast<int32_t>(boxes))[1] = NAN;
        for (double bilinear : {0.0, 1.0}) VQ_EXPECT(c.run("CropAndResize", {n, h, w, k, 3, 2, 2, bilinear, 0, x, boxes, which, crop}));
        image[1] = -1;
        VQ_EXPECT(!c.run("CropAndResize", {n, h, w, k, 3, 2, 2, 0, 0, x, boxes, which, crop}));
        VQ_EXPECT(c.run("LRN", {n * h * w, k, 2, 1, 0.5, 0.75, x, back}));
        VQ_EXPECT(c.run("LRNGrad", {n * h * w, k, 99, 1, 0.5, 1.1, x, x, x, back}));
      }
  }
}

VQ_TEST(suppression_keeps_the_best_of_boxes_that_overlap) {
  Caller c(1);
  const double boxes = c.floats(16, 1), scores = c.floats(4, 1), indices = c.bytes(16), kept = c.floats(4, 0);
  const float b[16] = {0, 0, 1, 1, 0, 0.05f, 1, 1.05f, 0, 2, 1, 3, 0, 2, 0, 2}, s[4] = {0.5f, 0.9f, 0.3f, NAN};
  std::memcpy(c.data(static_cast<int32_t>(boxes)), b, sizeof(b));
  std::memcpy(c.data(static_cast<int32_t>(scores)), s, sizeof(s));
  VQ_EXPECT(c.run("NonMaxSuppression", {4, 4, 0.5, 0, 0, boxes, scores, indices, kept}));
  const auto* at = reinterpret_cast<const int32_t*>(c.data(static_cast<int32_t>(indices)));
  VQ_EXPECT(at[0] == 1 && at[1] == 2);
  VQ_EXPECT(!c.run("NonMaxSuppression", {4, 9, 0.5, 0, 0, boxes, scores, indices, kept}));
}

VQ_TEST(volumes_are_convolved_with_padding_of_either_sign) {
  for (double pad : {-1.0, 0.0, 1.0}) {
    Caller c(2);
    const double size = 4, out = size + 2 * pad - 1;
    const int64_t n = 64 * 2, m = static_cast<int64_t>(out * out * out) * 3;
    const double x = c.floats(n, 1), w = c.floats(8 * 6, 2), y = c.floats(m, 0), dx = c.floats(n, 0), dw = c.floats(48, 0);
    std::vector<double> sizes{1, 2, 3};
    for (int axis = 0; axis < 3; ++axis) sizes.insert(sizes.end(), {size, out, 2, 1, 1, pad, pad});
    VQ_EXPECT(c.run("Conv3D", join(sizes, {0, x, w, -1, y})));
    VQ_EXPECT(c.run("Conv3DBackpropInput", join(sizes, {y, w, -1, dx})));
    VQ_EXPECT(c.run("Conv3DBackpropFilter", join(sizes, {x, y, dw})));
    // ⟨y, y⟩ = ⟨x, dx⟩ = ⟨w, dw⟩ where dy is y itself.
    double yy = 0, xdx = 0, wdw = 0;
    for (int64_t i = 0; i < m; ++i) yy += static_cast<double>(c.data(static_cast<int32_t>(y))[i]) * c.data(static_cast<int32_t>(y))[i];
    for (int64_t i = 0; i < n; ++i) xdx += static_cast<double>(c.data(static_cast<int32_t>(x))[i]) * c.data(static_cast<int32_t>(dx))[i];
    for (int64_t i = 0; i < 48; ++i) wdw += static_cast<double>(c.data(static_cast<int32_t>(w))[i]) * c.data(static_cast<int32_t>(dw))[i];
    VQ_EXPECT(yy > 0 && std::fabs(yy - xdx) < 1e-3 * yy && std::fabs(yy - wdw) < 1e-3 * yy);
  }
}
