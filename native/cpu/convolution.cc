#include "vq/convolution.h"

#include <omp.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <string>

#include "convolution_part.h"
#include "convolution_phases.h"
#include "dnnl_compat.h"
#include "signal_shield.h"
#include "vq/error.h"
#include "vq/filter_gradient.h"
#include "vq/scratch.h"
#include "vq/threads.h"
#include "vq/winograd.h"

namespace vq {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;
constexpr auto kF32 = memory::data_type::f32;

// kFlipped: a forward convolution whose filter is stored with its channels swapped, as the gradient by input needs it.
enum Kind { kForward, kFlipped, kBackwardInput, kBackwardFilter };

// A primitive with the layouts it chose. oneDNN fixes the thread count when it creates one, so the key holds it.
struct Primitive {
  dnnl::primitive run;
  memory::desc x, w, bias, y, w_plain;
  // From the plain layout of the filter into w, or back; one for each part of the output channels, none where w is plain.
  struct Reorder {
    memory::desc from, to;
    dnnl::reorder run;
  };
  std::vector<Reorder> reorders;
  size_t scratch = 0;
};
using Key = std::array<int64_t, 29>;

struct Dnnl {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::map<Key, Primitive> primitives;
};

Dnnl& dnnl_of(Context& c) {
  if (!c.dnnl) c.dnnl = std::make_shared<Dnnl>();
  return *static_cast<Dnnl*>(c.dnnl.get());
}

// Work that one thread ends sooner than two can meet stays on one.
int worthwhile(const Context& c, int64_t multiplications) { return multiplications < (int64_t{1} << 20) ? 1 : c.threads; }

// Of the calling thread; the setting is each thread's own.
void use_threads(int threads) {
  if (omp_get_max_threads() != threads) omp_set_num_threads(threads);
}

int64_t multiplications(const Convolution& s) { return s.output_size() * s.kernel_d * s.kernel_h * s.kernel_w * s.in_c; }

size_t align(size_t n) { return (n + 63) / 64 * 64; }

// oneDNN wants sizes and padding to agree. TensorFlow.js takes a filter for square when padding is a number, and may ask
// for fewer outputs than fit: then the far padding follows from the sizes.
int64_t far_pad(int64_t in, int64_t out, int64_t kernel, int64_t stride, int64_t dilation, int64_t near, int64_t far) {
  const int64_t reach = (kernel - 1) * dilation + 1;
  if (in + near + far >= reach && (in + near + far - reach) / stride + 1 == out) return far;
  return (out - 1) * stride + reach - in - near;
}

// Adds reorders of `parts` parts of the output channels; false where oneDNN keeps channels together that lie in two of them.
bool add_reorders(Dnnl& d, Primitive& p, const memory::dims& filter, bool back, int64_t parts) {
  const memory::desc &from = back ? p.w : p.w_plain, &to = back ? p.w_plain : p.w;
  const int64_t channels = filter[0], unit = channels >= 192 * parts ? 192 : 64;  // blocks have 16, 32, 48 or 64 channels
  const auto begin = [&](int64_t part) { return part == parts ? channels : channels * part / parts / unit * unit; };
  for (int64_t i = 0; i < parts; ++i) {
    memory::dims at(filter.size(), 0), size = filter;
    at[0] = begin(i), size[0] = begin(i + 1) - at[0];
    if (size[0] == 0) continue;
    memory::desc a = from, b = to;
    if (parts > 1) {
      a = from.submemory_desc(size, at, true), b = to.submemory_desc(size, at, true);
      if (!a || !b) return p.reorders.clear(), false;
    }
    p.reorders.push_back({a, b, dnnl::reorder(dnnl::reorder::primitive_desc(d.engine, a, d.engine, b))});
  }
  return true;
}

Primitive create(Dnnl& d, Kind kind, const Convolution& s, bool bias, Activation act) {
  const int64_t far_d = far_pad(s.in_d, s.out_d, s.kernel_d, s.stride_d, s.dilation_d, s.pad_front, s.pad_back),
                far_h = far_pad(s.in_h, s.out_h, s.kernel_h, s.stride_h, s.dilation_h, s.pad_top, s.pad_bottom),
                far_w = far_pad(s.in_w, s.out_w, s.kernel_w, s.stride_w, s.dilation_w, s.pad_left, s.pad_right);
  Primitive p;
  // oneDNN takes time and memory for every place behind the edges when it prepares a convolution.
  constexpr int64_t kFarthest = int64_t{1} << 20;
  for (int64_t pad : {s.pad_front, far_d, s.pad_top, far_h, s.pad_left, far_w})
    if (pad > kFarthest) fail(Error::kValue, "padding of more than 1048576 places");
  const int64_t reach = std::max({(s.kernel_d - 1) * s.dilation_d, (s.kernel_h - 1) * s.dilation_h, (s.kernel_w - 1) * s.dilation_w});
  if (reach > kFarthest) fail(Error::kValue, "a filter that covers more than 1048576 places");
  memory::dims strides, dilates, pad_l, pad_r, filter;
  if (s.planar) {
    strides = {s.stride_h, s.stride_w}, dilates = {s.dilation_h - 1, s.dilation_w - 1};
    pad_l = {s.pad_top, s.pad_left}, pad_r = {far_h, far_w};
    p.x = memory::desc({s.batch, s.in_c, s.in_h, s.in_w}, kF32, Tag::nhwc);
    p.y = memory::desc({s.batch, s.out_c, s.out_h, s.out_w}, kF32, Tag::nhwc);
    filter = {s.out_c, s.in_c, s.kernel_h, s.kernel_w};
    const int64_t tap = s.in_c * s.out_c;
    const memory::dims swapped{s.in_c, 1, s.kernel_w * tap, tap};
    p.w_plain = kind == kFlipped ? memory::desc(filter, kF32, swapped) : memory::desc(filter, kF32, Tag::hwio);
  } else {
    strides = {s.stride_d, s.stride_h, s.stride_w}, dilates = {s.dilation_d - 1, s.dilation_h - 1, s.dilation_w - 1};
    pad_l = {s.pad_front, s.pad_top, s.pad_left}, pad_r = {far_d, far_h, far_w};
    p.x = memory::desc({s.batch, s.in_c, s.in_d, s.in_h, s.in_w}, kF32, Tag::ndhwc);
    p.y = memory::desc({s.batch, s.out_c, s.out_d, s.out_h, s.out_w}, kF32, Tag::ndhwc);
    filter = {s.out_c, s.in_c, s.kernel_d, s.kernel_h, s.kernel_w};
    p.w_plain = memory::desc(filter, kF32, Tag::dhwio);
  }
  const memory::desc any(filter, kF32, Tag::any);
  p.bias = bias ? memory::desc({s.out_c}, kF32, Tag::a) : memory::desc();

  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  if (act == Activation::kRelu) {
    dnnl::post_ops ops;
    append_relu(ops);
    attr.set_post_ops(ops);
  }
  dnnl::primitive_attr plain;
  plain.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const auto direct = dnnl::algorithm::convolution_direct;
  const auto prop = kind <= kFlipped ? dnnl::prop_kind::forward_inference : dnnl::prop_kind::forward_training;
  auto forward = describe<dnnl::convolution_forward>(d.engine, attr, prop, direct, p.x, any, p.bias, p.y, strides,
                                                     dilates, pad_l, pad_r);
  if (kind <= kFlipped) {
    p.w = forward.weights_desc();
    p.scratch = forward.scratchpad_desc().get_size();
    p.run = dnnl::convolution_forward(forward);
  } else if (kind == kBackwardInput) {
    auto pd = describe_convolution_backward<dnnl::convolution_backward_data>(d.engine, plain, forward, p.x, any, p.y,
                                                                             strides, dilates, pad_l, pad_r);
    p.w = pd.weights_desc();
    p.scratch = pd.scratchpad_desc().get_size();
    p.run = dnnl::convolution_backward_data(pd);
  } else {
    auto pd = describe_convolution_backward<dnnl::convolution_backward_weights>(
        d.engine, plain, forward, p.x, any, p.y, strides, dilates, pad_l, pad_r);
    p.w = pd.diff_weights_desc();
    p.scratch = pd.scratchpad_desc().get_size();
    p.run = dnnl::convolution_backward_weights(pd);
  }
  if (p.w != p.w_plain) {
    // A large filter in parts, so that our threads share the work: it is read and written in every call.
    constexpr size_t kLarge = size_t{1} << 20;
    const bool back = kind == kBackwardFilter;
    if (p.w.get_size() < kLarge || !add_reorders(d, p, filter, back, 4)) add_reorders(d, p, filter, back, 1);
  }
  return p;
}

Primitive& find(Context& c, Kind kind, const Convolution& s, int threads, bool bias = false, Activation act = Activation::kNone) {
  Dnnl& d = dnnl_of(c);
  use_threads(threads);
  const Key key{kind,         bias,         static_cast<int64_t>(act), threads,  s.batch,        s.in_h,
                s.in_w,       s.in_c,       s.out_h,                   s.out_w,    s.out_c,        s.kernel_h,
                s.kernel_w,   s.stride_h,   s.stride_w,                s.dilation_h, s.dilation_w, s.pad_top,
                s.pad_bottom, s.pad_left,   s.pad_right,               s.planar, s.in_d,         s.out_d,
                s.kernel_d,   s.stride_d,   s.dilation_d,              s.pad_front, s.pad_back};
  auto at = d.primitives.find(key);
  if (at != d.primitives.end()) return at->second;
  if (d.primitives.size() >= 1024) d.primitives.clear();  // shapes that never repeat must not pile up
  return d.primitives.emplace(key, create(d, kind, s, bias, act)).first->second;
}

memory wrap(Dnnl& d, const memory::desc& md, const void* p) { return memory(md, d.engine, const_cast<void*>(p)); }

using Arguments = std::unordered_map<int, memory>;

void run(Dnnl& d, const Primitive& p, Arguments arguments, char* scratch) {
  const memory::desc pad({static_cast<memory::dim>(p.scratch)}, memory::data_type::u8, Tag::a);
  if (p.scratch) arguments.emplace(DNNL_ARG_SCRATCHPAD, wrap(d, pad, scratch));
  dnnl::stream stream(d.engine);
  const SignalShield shield;
  p.run.execute(stream, arguments);
  stream.wait();
}

void reorder(Context& c, const Primitive& p, const void* from, void* to) {
  Dnnl& d = dnnl_of(c);
  const int before = omp_get_max_threads();
  const auto parts = [&](int64_t begin, int64_t end) {
    use_threads(1);
    const SignalShield shield;
    dnnl::stream stream(d.engine);
    for (int64_t i = begin; i < end; ++i) {
      const Primitive::Reorder& r = p.reorders[i];
      memory a = wrap(d, r.from, from), b = wrap(d, r.to, to);
      r.run.execute(stream, a, b);
    }
    stream.wait();
  };
  parallel_for(static_cast<int64_t>(p.reorders.size()), 1, c.threads, parts);
  use_threads(before);
}

// How a convolution is divided among threads of ours, each with a primitive for one thread: OpenMP's threads keep waiting
// for more in a loop when they are done, and take the cores from ours. Only where images cannot be shared out evenly does
// oneDNN divide the work.
struct Shares {
  int64_t parts = 1;  // of as many images each
  int threads = 1;    // of each part
};

Shares shares_of(const Context& c, const Convolution& s) {
  const int threads = worthwhile(c, multiplications(s));
  if (threads == 1) return {};
  for (int64_t parts = threads; parts <= s.batch; ++parts)
    if (s.batch % parts == 0) {
      const int64_t rounds = (parts + threads - 1) / threads;
      if (rounds * threads * 8 > parts * 9) break;
      return {parts, 1};
    }
  return {1, threads};
}

// Runs body(part, scratch) for each part, on the thread that does it.
template <class Body>
void for_parts(const Context& c, const Shares& shares, const Primitive& p, char* scratch, const Body& body) {
  if (shares.parts == 1) return body(0, scratch);
  parallel_for(shares.parts, 1, c.threads, [&](int64_t begin, int64_t end) {
    use_threads(1);
    for (int64_t i = begin; i < end; ++i) body(i, scratch + i * align(p.scratch));
  });
}

// The filter as a primitive wants it: as it is, or in `room`.
memory filter_for(Context& c, const Primitive& p, const float* w, void* room) {
  Dnnl& d = dnnl_of(c);
  if (p.reorders.empty()) return wrap(d, p.w, w);
  reorder(c, p, w, room);
  return wrap(d, p.w, room);
}

// oneDNN's primitive for the gradient by input runs at 75–80% of the FMA limit, its forward one at 90%; so where the stride is 1 the gradient by input is computed as the forward convolution that it is.
bool runs_as_forward(const Convolution& s) {
  return s.planar && s.stride_h == 1 && s.stride_w == 1 && s.pad_top < s.kernel_h && s.pad_left < s.kernel_w && s.dilation_h == 1 &&
         s.dilation_w == 1 && s.out_h == s.in_h + s.pad_top + s.pad_bottom - s.kernel_h + 1 &&
         s.out_w == s.in_w + s.pad_left + s.pad_right - s.kernel_w + 1 && s.pad_bottom < s.kernel_h && s.pad_right < s.kernel_w;
}

void run_forward(Context& c, Kind kind, const Convolution& s, const float* x, const float* w, const float* bias,
                 Activation act, float* y) {
  const Shares shares = shares_of(c, s);
  Convolution part = s;
  part.batch = s.batch / shares.parts;
  const Primitive& p = find(c, kind, part, shares.threads, bias != nullptr, act);
  Dnnl& d = dnnl_of(c);
  const size_t weights = p.reorders.empty() ? 0 : align(p.w.get_size());
  const int64_t taps = s.kernel_h * s.kernel_w;
  const size_t flipped = kind == kFlipped && taps > 1 ? align(s.filter_size() * sizeof(float)) : 0;
  char* scratch = static_cast<char*>(c.scratch(weights + flipped + shares.parts * align(p.scratch) + 64));
  if (flipped) {
    // Taps in reverse order; the swap of channels is in the layout that p.w_plain describes.
    float* turned = reinterpret_cast<float*>(scratch + weights);
    const int64_t size = s.in_c * s.out_c;
    for (int64_t t = 0; t < taps; ++t) std::memcpy(turned + t * size, w + (taps - 1 - t) * size, size * sizeof(float));
    w = turned;
  }
  const memory filter = filter_for(c, p, w, scratch);
  for_parts(c, shares, p, scratch + weights + flipped, [&](int64_t i, char* room) {
    Arguments arguments{{DNNL_ARG_SRC, wrap(d, p.x, x + i * part.input_size())},
                        {DNNL_ARG_WEIGHTS, filter},
                        {DNNL_ARG_DST, wrap(d, p.y, y + i * part.output_size())}};
    if (bias) arguments.emplace(DNNL_ARG_BIAS, wrap(d, p.bias, bias));
    run(d, p, std::move(arguments), room);
  });
}

// Few image channels leave vectors empty in a direct convolution. Instead: one product gives what every output place
// sends to each tap, and each image place adds up what it is sent, taps in ascending order.
bool few_channels(const Convolution& s) { return s.planar && s.in_c < 16 && s.out_c >= 16; }

void backward_input_by_columns(Context& c, const Convolution& s, const float* dy, const float* w, float* dx) {
  const int64_t taps = s.kernel_h * s.kernel_w, columns = taps * s.in_c, area = s.out_h * s.out_w;
  const int64_t images = std::max<int64_t>(1, std::min(s.batch, (int64_t{1} << 21) / (area * columns)));
  float* sent = static_cast<float*>(c.scratch(images * area * columns * sizeof(float)));
  for (int64_t first = 0; first < s.batch; first += images) {
    const int64_t n = std::min(images, s.batch - first);
    matrix_product(c, false, true, n * area, columns, s.out_c, dy + first * area * s.out_c, w, sent);
    parallel_for(n * s.in_h, 4, c.threads, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t image = i / s.in_h, h = i % s.in_h;
        float* row = dx + ((first + image) * s.in_h + h) * s.in_w * s.in_c;
        std::fill(row, row + s.in_w * s.in_c, 0.0f);
        for (int64_t kh = 0; kh < s.kernel_h; ++kh) {
          const int64_t up = h + s.pad_top - kh * s.dilation_h, oh = up / s.stride_h;
          if (up < 0 || up % s.stride_h != 0 || oh >= s.out_h) continue;
          for (int64_t w_ = 0; w_ < s.in_w; ++w_)
            for (int64_t kw = 0; kw < s.kernel_w; ++kw) {
              const int64_t left = w_ + s.pad_left - kw * s.dilation_w, ow = left / s.stride_w;
              if (left < 0 || left % s.stride_w != 0 || ow >= s.out_w) continue;
              const float* from = sent + ((image * s.out_h + oh) * s.out_w + ow) * columns + (kh * s.kernel_w + kw) * s.in_c;
              for (int64_t k = 0; k < s.in_c; ++k) row[w_ * s.in_c + k] += from[k];
            }
        }
      }
    });
  }
}

}  // namespace

// Of sums in y: y = act(y + bias + added).
static void finish(const Context& c, const Convolution& s, const float* bias, Activation act, const float* added, float* y) {
  parallel_for(s.output_size() / std::max<int64_t>(1, s.out_c), std::max<int64_t>(1, (1 << 14) / std::max<int64_t>(1, s.out_c)), c.threads,
               [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      for (int64_t i = r * s.out_c, k = 0; k < s.out_c; ++i, ++k) {
        const float v = y[i] + (bias ? bias[k] : 0.0f) + (added ? added[i] : 0.0f);
        y[i] = act == Activation::kRelu && v < 0 ? 0.0f : v;
      }
  });
}

namespace {

// The output places of one axis, stride 1, at which tap k meets the image, from first to last; none where last < first.
struct Meeting {
  int64_t first, last;
  Meeting(int64_t in, int64_t out, int64_t at)  // `at`: where the tap lies for output 0
      : first(std::max<int64_t>(0, -at)), last(std::min(out, in - at) - 1) {}
  int64_t count() const { return std::max<int64_t>(0, last - first + 1); }
};
Meeting rows_of(const Convolution& s, int64_t k) { return {s.in_h, s.out_h, k * s.dilation_h - s.pad_top}; }
Meeting columns_of(const Convolution& s, int64_t k) { return {s.in_w, s.out_w, k * s.dilation_w - s.pad_left}; }

// Whether a large part of the multiplications would be with the zeros around the image, as where the dilation is nearly its size.
bool meets_much_padding(const Convolution& s) {
  if (!s.planar || s.kernel_h * s.kernel_w == 1 || s.in_c < 64 || s.out_c < 64 || s.stride_h != 1 || s.stride_w != 1) return false;
  int64_t down = 0, across = 0;
  for (int64_t k = 0; k < s.kernel_h; ++k) down += rows_of(s, k).count();
  for (int64_t k = 0; k < s.kernel_w; ++k) across += columns_of(s, k).count();
  return 1.7 * down * across < static_cast<double>(s.out_h * s.kernel_h) * (s.out_w * s.kernel_w);
}

// Tap by tap: the places of the image that a tap meets, times its part of the filter, added to the outputs that it sends to. Those of one
// column of taps are the same columns of the image: taken together, row by row of all images, every tap of them reads and adds to
// neighbours alone. The middle column of taps, which meets whole rows, reads the images as they are.
void by_taps(Context& c, const Convolution& s, const float* x, const float* w, const float* bias, Activation act, const float* added,
             float* y) {
  const int threads = worthwhile(c, multiplications(s));
  const int64_t tap = s.in_c * s.out_c;
  // sums [rows, out_c] += from [rows, in_c] · part of the filter
  const auto add_products = [&](int64_t rows, const float* from, const float* part, float* sums) {
    // A call arranges the filter anew, so parts are large.
    parallel_for(rows, std::max<int64_t>(96, rows / threads), threads, [&](int64_t begin, int64_t end) {
      matrix_product_alone(false, false, end - begin, s.out_c, s.in_c, from + begin * s.in_c, part, 1.f, sums + begin * s.out_c);
    });
  };
  const auto clear = [&](float* p, int64_t n) {
    parallel_for(n, 1 << 16, threads, [&](int64_t begin, int64_t end) { std::fill(p + begin, p + end, 0.0f); });
  };
  clear(y, s.output_size());
  for (int64_t j = 0; j < s.kernel_w; ++j) {
    const Meeting across = columns_of(s, j);
    const int64_t wide = across.count(), left = across.first + j * s.dilation_w - s.pad_left;
    if (wide == 0) continue;
    const bool whole = wide == s.in_w && wide == s.out_w;
    const int64_t step = s.batch * wide;  // places in a row of all images
    float *in = nullptr, *out = nullptr;
    if (!whole) {
      in = static_cast<float*>(c.scratch((s.in_h * s.in_c + s.out_h * s.out_c) * step * sizeof(float)));
      out = in + s.in_h * step * s.in_c;
      parallel_for(s.in_h * s.batch, 1, threads, [&](int64_t begin, int64_t end) {
        for (int64_t r = begin; r < end; ++r) {
          const int64_t h = r / s.batch, image = r % s.batch;
          std::memcpy(in + r * wide * s.in_c, x + ((image * s.in_h + h) * s.in_w + left) * s.in_c, wide * s.in_c * sizeof(float));
        }
      });
      clear(out, s.out_h * step * s.out_c);
    }
    for (int64_t i = 0; i < s.kernel_h; ++i) {
      const Meeting down = rows_of(s, i);
      const int64_t high = down.count(), top = down.first + i * s.dilation_h - s.pad_top;
      if (high == 0) continue;
      const float* part = w + (i * s.kernel_w + j) * tap;
      if (!whole) add_products(high * step, in + top * step * s.in_c, part, out + down.first * step * s.out_c);
      else
        for (int64_t image = 0; image < s.batch; ++image)
          add_products(high * wide, x + (image * s.in_h + top) * wide * s.in_c, part, y + (image * s.out_h + down.first) * wide * s.out_c);
    }
    if (whole) continue;
    parallel_for(s.out_h * s.batch, 1, threads, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const int64_t h = r / s.batch, image = r % s.batch;
        const float* from = out + r * wide * s.out_c;
        float* to = y + ((image * s.out_h + h) * s.out_w + across.first) * s.out_c;
        for (int64_t k = 0; k < wide * s.out_c; ++k) to[k] += from[k];
      }
    });
  }
  if (bias || added || act != Activation::kNone) finish(c, s, bias, act, added, y);
}

}  // namespace

void convolve(Context& c, const Convolution& s, const float* x, const float* w, const float* bias, Activation act, float* y,
              const float* added) {
  if (s.input_size() == 0 || s.filter_size() == 0) {
    std::fill(y, y + s.output_size(), 0.0f);
    return finish(c, s, bias, act, added, y);
  }
  if (reads_part(s)) {
    const Convolution part = part_of(s);
    Scratch<float> in(part.input_size());
    take_part(s, part, x, in.data(), c.threads);
    return convolve(c, part, in.data(), w, bias, act, y, added);
  }
  if (meets_much_padding(s)) return by_taps(c, s, x, w, bias, act, added, y);
  // oneDNN 2 would add while it stores, but in a convolution that takes longer than this pass besides.
  const Activation now = added ? Activation::kNone : act;
  if (splits_into_phases(s)) {
    const Convolution phases = phases_of(s);
    Scratch<float> in(s.input_size()), out(s.output_size());
    take_phases(s, s.in_c, x, in.data(), c.threads);
    winograd_forward(c, phases, in.data(), w, bias, now, out.data());
    put_phases(s, s.out_c, out.data(), y, c.threads);
  } else if (winograd_fits(s)) winograd_forward(c, s, x, w, bias, now, y);
  else run_forward(c, kForward, s, x, w, bias, now, y);
  if (added) finish(c, s, nullptr, act, added, y);
}

void convolve_backward_input(Context& c, const Convolution& s, const float* dy, const float* w, float* dx) {
  if (reads_part(s)) {
    const Convolution part = part_of(s);
    Scratch<float> in(part.input_size());
    if (part.input_size() > 0) convolve_backward_input(c, part, dy, w, in.data());
    return put_part(s, part, in.data(), dx, c.threads);
  }
  if (splits_into_phases(s)) {
    Scratch<float> out(s.output_size()), in(s.input_size());
    take_phases(s, s.out_c, dy, out.data(), c.threads);
    winograd_backward_input(c, phases_of(s), out.data(), w, in.data());
    return put_phases(s, s.in_c, in.data(), dx, c.threads);
  }
  if (winograd_fits(s)) return winograd_backward_input(c, s, dy, w, dx);
  if (runs_as_forward(s)) {
    const Convolution turned{s.batch, s.out_h, s.out_w, s.out_c, s.in_h, s.in_w, s.in_c, s.kernel_h, s.kernel_w, 1, 1, 1, 1,
                             s.kernel_h - 1 - s.pad_top, s.kernel_h - 1 - s.pad_bottom, s.kernel_w - 1 - s.pad_left,
                             s.kernel_w - 1 - s.pad_right};
    return run_forward(c, kFlipped, turned, dy, w, nullptr, Activation::kNone, dx);
  }
  if (few_channels(s)) return backward_input_by_columns(c, s, dy, w, dx);
  const Shares shares = shares_of(c, s);
  Convolution part = s;
  part.batch = s.batch / shares.parts;
  const Primitive& p = find(c, kBackwardInput, part, shares.threads);
  Dnnl& d = dnnl_of(c);
  const size_t weights = p.reorders.empty() ? 0 : align(p.w.get_size());
  char* scratch = static_cast<char*>(c.scratch(weights + shares.parts * align(p.scratch) + 64));
  const memory filter = filter_for(c, p, w, scratch);
  for_parts(c, shares, p, scratch + weights, [&](int64_t i, char* room) {
    run(d, p, {{DNNL_ARG_DIFF_DST, wrap(d, p.y, dy + i * part.output_size())},
               {DNNL_ARG_WEIGHTS, filter},
               {DNNL_ARG_DIFF_SRC, wrap(d, p.x, dx + i * part.input_size())}}, room);
  });
}

void convolve_backward_filter(Context& c, const Convolution& s, const float* x, const float* dy, float* dw) {
  if (reads_part(s)) {
    const Convolution part = part_of(s);
    Scratch<float> in(part.input_size());
    take_part(s, part, x, in.data(), c.threads);
    if (part.input_size() == 0) return std::fill(dw, dw + s.filter_size(), 0.0f);
    return convolve_backward_filter(c, part, in.data(), dy, dw);
  }
  if (splits_into_phases(s)) {
    Scratch<float> in(s.input_size()), out(s.output_size());
    take_phases(s, s.in_c, x, in.data(), c.threads);
    take_phases(s, s.out_c, dy, out.data(), c.threads);
    return winograd_backward_filter(c, phases_of(s), in.data(), out.data(), dw);
  }
  if (winograd_fits(s)) return winograd_backward_filter(c, s, x, dy, dw);
  if (filter_gradient_fits(s))
    return filter_gradient(s, x, dy, dw, worthwhile(c, multiplications(s)));
  const Primitive& p = find(c, kBackwardFilter, s, worthwhile(c, multiplications(s)));
  Dnnl& d = dnnl_of(c);
  const size_t weights = p.reorders.empty() ? 0 : align(p.w.get_size());
  char* scratch = static_cast<char*>(c.scratch(weights + p.scratch + 64));
  float* arranged = p.reorders.empty() ? dw : reinterpret_cast<float*>(scratch);
  memory wm = wrap(d, p.w, arranged);
  run(d, p, {{DNNL_ARG_SRC, wrap(d, p.x, x)}, {DNNL_ARG_DIFF_DST, wrap(d, p.y, dy)}, {DNNL_ARG_DIFF_WEIGHTS, wm}},
      scratch + weights);
  if (!p.reorders.empty()) reorder(c, p, arranged, dw);
}

namespace {

void sgemm(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a, int64_t step_a, const float* b,
           int64_t step_b, float beta, float* out, int64_t step_out) {
  const SignalShield shield;
  const auto status = dnnl_sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, 1.f, a, step_a, b, step_b, beta, out, step_out);
  if (status != dnnl_success) fail(Error::kDevice, "oneDNN's sgemm failed with status " + std::to_string(status));
}

}  // namespace

void matrix_product(Context& c, bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a,
                    const float* b, float* out) {
  const int threads = worthwhile(c, m * n * k);
  const int64_t step_a = transpose_a ? m : k, step_b = transpose_b ? k : n;
  // Rows or columns of the result are shared out, as in convolutions, where there are enough of them.
  constexpr int64_t kUnit = 48, kEnough = 2;
  const int64_t units = (std::max(m, n) + kUnit - 1) / kUnit;
  if (threads == 1 || units < kEnough * threads) {
    use_threads(threads);
    return sgemm(transpose_a, transpose_b, m, n, k, a, step_a, b, step_b, 0.f, out, n);
  }
  parallel_for(units, 1, threads, [&](int64_t begin, int64_t end) {
    use_threads(1);
    const int64_t first = begin * kUnit, size = std::min(std::max(m, n), end * kUnit) - first;
    if (m >= n)
      sgemm(transpose_a, transpose_b, size, n, k, a + first * (transpose_a ? 1 : k), step_a, b, step_b, 0.f, out + first * n, n);
    else
      sgemm(transpose_a, transpose_b, m, size, k, a, step_a, b + first * (transpose_b ? k : 1), step_b, 0.f, out + first, n);
  });
}

void matrix_product_alone(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k, const float* a, const float* b,
                          float beta, float* out) {
  use_threads(1);
  sgemm(transpose_a, transpose_b, m, n, k, a, transpose_a ? m : k, b, transpose_b ? k : n, beta, out, n);
}

}  // namespace vq
