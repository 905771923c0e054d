// Elementwise kernels: unary, binary with broadcasting, select, cast. Plain loops, compiled for each instruction set.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "vq/dtype.h"
#include "vq/op.h"
#include "vq/strided.h"
#include "vq/threads.h"
#include "vq/whole.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/elementwise.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

#include "cpu/simd_math-inl.h"

#ifndef VQ_ELEMENTWISE_ONCE
#define VQ_ELEMENTWISE_ONCE
namespace vq {

// name, expression in a and b; results have the operands' type.
#define VQ_ARITHMETIC(X)                                                              \
  X(Add, plus(a, b))                                                                  \
  X(Sub, minus(a, b))                                                                 \
  X(Multiply, times(a, b))                                                            \
  X(RealDiv, divide(a, b))                                                            \
  X(FloorDiv, floor_divide(a, b))                                                     \
  X(Mod, modulo(a, b))                                                                \
  X(Maximum, larger(a, b))                                                            \
  X(Minimum, smaller(a, b))                                                           \
  X(Pow, power(a, b))                                                                 \
  X(SquaredDifference, times(minus(a, b), minus(a, b)))                               \
  X(Atan2, arc_tangent(a, b))                                                         \
  X(Prelu, a < 0 ? times(a, b) : a)                                                   \
  X(EluGrad, b >= 0 ? a : times(a, plus(b, decltype(b)(1))))                          \
  X(ComplexAbs, length(a, b))                                                         \
  X(BitwiseAnd, both_bits(a, b))
// Results are bool.
#define VQ_COMPARISONS(X)  \
  X(Equal, a == b)         \
  X(NotEqual, a != b)      \
  X(Greater, a > b)        \
  X(GreaterEqual, a >= b)  \
  X(Less, a < b)           \
  X(LessEqual, a <= b)     \
  X(LogicalAnd, a && b)    \
  X(LogicalOr, a || b)
// float -> float, with attributes p and q.
#define VQ_UNARY(X)                                                 \
  X(Abs, std::fabs(a))                                              \
  X(Neg, -a)                                                        \
  X(Square, a* a)                                                   \
  X(Sqrt, std::sqrt(a))                                             \
  X(Rsqrt, 1.0f / std::sqrt(a))                                     \
  X(Exp, std::exp(a))                                               \
  X(Expm1, std::expm1(a))                                           \
  X(Log, std::log(a))                                               \
  X(Log1p, std::log1p(a))                                           \
  X(Sigmoid, 1.0f / (1.0f + std::exp(-a)))                          \
  X(Tanh, std::tanh(a))                                             \
  X(Sin, std::sin(a))                                               \
  X(Tan, static_cast<float>(std::tan(static_cast<double>(a))))                                               \
  X(Asin, std::asin(a))                                             \
  X(Acos, std::acos(a))                                             \
  X(Atan, std::atan(a))                                             \
  X(Sinh, std::sinh(a))                                             \
  X(Cosh, std::cosh(a))                                             \
  X(Asinh, std::asinh(a))                                           \
  X(Acosh, std::acosh(a))                                           \
  X(Atanh, std::atanh(a))                                           \
  X(Erf, std::erf(a))                                               \
  X(Selu, a >= 0 ? 1.0507009873554805f * a : 1.7580993408473768f * std::expm1(a)) \
  X(Cos, std::cos(a))                                               \
  X(Floor, std::floor(a))                                           \
  X(Ceil, std::ceil(a))                                             \
  X(Round, std::nearbyint(a))                                       \
  X(Reciprocal, 1.0f / a)                                           \
  X(Relu, a < 0 ? 0.0f : a)                                         \
  X(Relu6, a < 0 ? 0.0f : (a > 6 ? 6.0f : a))                       \
  X(LeakyRelu, a < 0 ? a * p : a)                                   \
  X(Elu, a < 0 ? std::expm1(a) : a)                                 \
  X(Softplus, (a > 0 ? a : 0.0f) + std::log1p(std::exp(-std::fabs(a)))) \
  X(Sign, static_cast<float>((a > 0) - (a < 0)))                    \
  X(Step, a != a ? a : (a > 0 ? 1.0f : p))                          \
  X(ClipByValue, a < p ? p : (a > q ? q : a))

enum class Binary {
#define X(name, expression) k##name,
  VQ_ARITHMETIC(X) VQ_COMPARISONS(X)
#undef X
};
enum class Unary {
#define X(name, expression) k##name,
  VQ_UNARY(X)
#undef X
};

template <class T>
T divide(T a, T b) {
  return a / b;
}
// Integers are cut towards zero; division by zero and the quotient that int32 cannot hold do not trap.
template <>
inline int32_t divide(int32_t a, int32_t b) {
  return b == 0 ? 0 : b == -1 ? minus(0, a) : a / b;
}
// The result is an int32 whatever the operands are, and has the float's place. In double: a quotient just below a whole
// number would round up to it in float.
inline float floor_divide(float a, float b) {
  const int32_t whole = to_int32(std::floor(static_cast<double>(a) / b));
  float bits;
  std::memcpy(&bits, &whole, sizeof(bits));
  return bits;
}
inline int32_t floor_divide(int32_t a, int32_t b) {
  if (b == 0) return 0;
  return to_int32(std::floor(static_cast<double>(a) / b));
}
// In double, and with a second remainder: beside a large divisor a small rest rounds up to the divisor.
inline float modulo(float a, float b) {
  const double r = std::fmod(static_cast<double>(a), static_cast<double>(b));
  return static_cast<float>((a < 0) == (b < 0) ? r : std::fmod(r + b, static_cast<double>(b)));
}
inline int32_t modulo(int32_t a, int32_t b) {
  if (b == 0 || b == -1) return 0;
  const int32_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
// NaN wins, as in NumPy and PyTorch.
template <class T>
T larger(T a, T b) {
  return a > b || a != a ? a : b;
}
template <class T>
T smaller(T a, T b) {
  return a < b || a != a ? a : b;
}
inline float power(float a, float b) { return std::pow(a, b); }
inline int32_t power(int32_t a, int32_t b) {
  return to_int32(std::pow(static_cast<double>(a), b));
}

template <class T>
T arc_tangent(T a, T b) {
  return static_cast<T>(std::atan2(a, b));
}
// Squares of what 32 bits hold fit into double. Not hypot: that of a new glibc is in no older one.
template <class T>
T length(T re, T im) {
  const double a = re, b = im;
  return static_cast<T>(std::isinf(a) || std::isinf(b) ? std::numeric_limits<double>::infinity() : std::sqrt(a * a + b * b));
}
inline int32_t both_bits(int32_t a, int32_t b) { return a & b; }
inline float both_bits(float, float) { fail(Error::kValue, "bits are of integers"); }

}  // namespace vq
#endif  // VQ_ELEMENTWISE_ONCE

HWY_BEFORE_NAMESPACE();
namespace vq {
namespace HWY_NAMESPACE {

template <class F, class T, class R>
void binary_loop(F f, const T* a, int64_t sa, const T* b, int64_t sb, R* out, int64_t n) {
  if (sa == 1 && sb == 1) {
    for (int64_t i = 0; i < n; ++i) out[i] = f(a[i], b[i]);
  } else if (sa == 1 && sb == 0) {
    const T v = *b;
    for (int64_t i = 0; i < n; ++i) out[i] = f(a[i], v);
  } else if (sa == 0 && sb == 1) {
    const T v = *a;
    for (int64_t i = 0; i < n; ++i) out[i] = f(v, b[i]);
  } else {
    for (int64_t i = 0; i < n; ++i) out[i] = f(a[i * sa], b[i * sb]);
  }
}

template <class T>
void binary_typed(Binary op, const T* a, int64_t sa, const T* b, int64_t sb, void* out, int64_t n) {
  switch (op) {
#define X(name, expression)                                                                           \
  case Binary::k##name:                                                                               \
    return binary_loop([](T a, T b) -> T { return expression; }, a, sa, b, sb, static_cast<T*>(out), n);
    VQ_ARITHMETIC(X)
#undef X
#define X(name, expression)                                                                                 \
  case Binary::k##name:                                                                                     \
    return binary_loop([](T a, T b) -> uint8_t { return expression; }, a, sa, b, sb, static_cast<uint8_t*>(out), n);
    VQ_COMPARISONS(X)
#undef X
  }
}

void binary_float(Binary op, const float* a, int64_t sa, const float* b, int64_t sb, void* out, int64_t n) {
  binary_typed<float>(op, a, sa, b, sb, out, n);
}
void binary_int(Binary op, const int32_t* a, int64_t sa, const int32_t* b, int64_t sb, void* out, int64_t n) {
  binary_typed<int32_t>(op, a, sa, b, sb, out, n);
}

// What the compiler leaves to the C library, one element at a time.
bool unary_vectors(Unary op, const float* x, float* out, int64_t n) {
  switch (op) {
    case Unary::kSqrt: simd::map<false>(x, out, n, [](simd::VF v) HWY_ATTR { return simd::hn::Sqrt(v); }); return true;
    case Unary::kRsqrt:
      simd::map<false>(x, out, n, [](simd::VF v) HWY_ATTR { return simd::hn::Div(simd::set(1.0f), simd::hn::Sqrt(v)); });
      return true;
    case Unary::kExp: simd::map<false>(x, out, n, [](simd::VF v) HWY_ATTR { return simd::exp(v); }); return true;
    case Unary::kErf: simd::map<false>(x, out, n, [](simd::VF v) HWY_ATTR { return simd::erf(v); }); return true;
    case Unary::kLog: simd::map<false>(x, out, n, [](simd::VF v) HWY_ATTR { return simd::log(v); }); return true;
    case Unary::kTanh: simd::map<false>(x, out, n, [](simd::VF v) HWY_ATTR { return simd::tanh(v); }); return true;
    case Unary::kSigmoid: simd::map<false>(x, out, n, [](simd::VF v) HWY_ATTR { return simd::sigmoid(v); }); return true;
    default: return false;
  }
}

void unary_float(Unary op, const float* x, float* out, int64_t n, float p, float q) {
  if (unary_vectors(op, x, out, n)) return;
  switch (op) {
#define X(name, expression)                      \
  case Unary::k##name:                           \
    for (int64_t i = 0; i < n; ++i) {            \
      const float a = x[i];                      \
      out[i] = expression;                       \
    }                                            \
    return;
    VQ_UNARY(X)
#undef X
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace vq
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace vq {
HWY_EXPORT(binary_float);
HWY_EXPORT(binary_int);
HWY_EXPORT(unary_float);

namespace {

constexpr int64_t kGrain = 1 << 15;  // elements worth a thread

bool is_comparison(Binary op) { return op >= Binary::kEqual; }

// The axes of `out`, with stride 0 where an operand is broadcast.
template <int N>
Walk<N + 1> broadcast(const Shape& out, const std::array<Shape, N>& operands) {
  Walk<N + 1> walk;
  const auto so = strides_of(out);
  for (int i = 0; i < out.rank; ++i) {
    std::array<int64_t, N + 1> stride{};
    for (int o = 0; o < N; ++o) {
      const int axis = i - (out.rank - operands[o].rank);
      if (axis < 0 || operands[o].dim[axis] == 1) continue;
      if (operands[o].dim[axis] != out.dim[i]) fail(Error::kShape, "shapes do not broadcast");
      stride[o] = strides_of(operands[o])[axis];
    }
    stride[N] = so[i];
    walk.add(out.dim[i], stride);
  }
  walk.finish();
  return walk;
}

// Runs body(outer index, begin, end of the innermost axis) over the whole walk, split among threads.
template <int N, class Body>
void run_walk(const Walk<N>& walk, int threads, const Body& body) {
  const int64_t inner = walk.inner(), outer = walk.outer();
  if (outer == 1) {
    parallel_for(inner, kGrain, threads, [&](int64_t b, int64_t e) { body(0, b, e); });
  } else {
    parallel_for(outer, std::max<int64_t>(1, kGrain / std::max<int64_t>(1, inner)), threads, [&](int64_t b, int64_t e) {
      for (int64_t i = b; i < e; ++i) body(i, 0, inner);
    });
  }
}

// Arguments: dtype, a, its shape, b, its shape, out, its shape.
void binary(Args& args, Binary op) {
  const DType dtype = dtype_of(args.number());
  const double ha = args.number();
  const Shape sa = args.shape();
  const double hb = args.number();
  const Shape sb = args.shape();
  const double ho = args.number();
  const Shape so = args.shape();
  auto bytes = [&](double handle, int64_t n, DType type) -> char* {
    Buffer& b = args.buffer(handle, type);
    check(b.bytes / bytes_of(type) >= static_cast<size_t>(n), "an operand's buffer is smaller than its shape");
    return static_cast<char*>(b.data);
  };
  const DType result = is_comparison(op) ? DType::kBool : op == Binary::kFloorDiv ? DType::kInt32 : dtype;
  check(bytes_of(result) == 1 || dtype != DType::kBool, "booleans have no quotient; cast them first");
  const size_t in = bytes_of(dtype), out_bytes = bytes_of(result);
  const char *a = bytes(ha, sa.size(), dtype), *b = bytes(hb, sb.size(), dtype);
  char* out = bytes(ho, so.size(), result);
  if (so.size() == 0) return;
  const auto walk = broadcast<2>(so, {sa, sb});
  const int last = walk.rank - 1;
  const int64_t ia = walk.stride[0][last], ib = walk.stride[1][last];
  run_walk(walk, args.ctx.threads, [&](int64_t outer, int64_t begin, int64_t end) {
    const auto at = walk.offsets(outer);
    const char* pa = a + (at[0] + begin * ia) * in;
    const char* pb = b + (at[1] + begin * ib) * in;
    char* po = out + (at[2] + begin) * out_bytes;
    const int64_t n = end - begin;
    if (dtype == DType::kFloat32)
      return HWY_DYNAMIC_DISPATCH(binary_float)(op, reinterpret_cast<const float*>(pa), ia,
                                                reinterpret_cast<const float*>(pb), ib, po, n);
    if (dtype == DType::kInt32)
      return HWY_DYNAMIC_DISPATCH(binary_int)(op, reinterpret_cast<const int32_t*>(pa), ia,
                                              reinterpret_cast<const int32_t*>(pb), ib, po, n);
    const auto *ba = reinterpret_cast<const uint8_t*>(pa), *bb = reinterpret_cast<const uint8_t*>(pb);
    for (int64_t i = 0; i < n; ++i) {
      const bool x = ba[i * ia], y = bb[i * ib];
      bool r = false;
      switch (op) {
        case Binary::kEqual: r = x == y; break;
        case Binary::kNotEqual: r = x != y; break;
        case Binary::kLogicalAnd: case Binary::kMultiply: case Binary::kMinimum: r = x && y; break;
        case Binary::kLogicalOr: case Binary::kAdd: case Binary::kMaximum: r = x || y; break;
        case Binary::kGreater: r = x && !y; break;
        case Binary::kGreaterEqual: r = x || !y; break;
        case Binary::kLess: r = !x && y; break;
        case Binary::kLessEqual: r = !x || y; break;
        default: fail(Error::kValue, "not defined for booleans");
      }
      po[i] = r;
    }
  });
}

// Arguments: count, x, out, p, q; float32.
void unary(Args& args, Unary op) {
  const int64_t n = args.integer();
  const float* x = args.tensor<float>(n);
  float* out = args.tensor<float>(n);
  const float p = args.done() ? 0.0f : args.real(), q = args.done() ? 0.0f : args.real();
  parallel_for(n, kGrain, args.ctx.threads, [&](int64_t b, int64_t e) {
    HWY_DYNAMIC_DISPATCH(unary_float)(op, x + b, out + b, e - b, p, q);
  });
}

}  // namespace

#define X(name, expression) \
  VQ_OP(name) { binary(args, Binary::k##name); }
VQ_ARITHMETIC(X)
VQ_COMPARISONS(X)
#undef X
#define X(name, expression) \
  VQ_OP(name) { unary(args, Unary::k##name); }
VQ_UNARY(X)
#undef X

VQ_OP(LogicalNot) {
  const int64_t n = args.integer();
  const uint8_t* x = args.tensor<uint8_t>(n);
  uint8_t* out = args.tensor<uint8_t>(n);
  for (int64_t i = 0; i < n; ++i) out[i] = !x[i];
}

// IsNan, IsInf, IsFinite by `which` 0, 1, 2.
VQ_OP(Classify) {
  const int64_t which = args.integer(), n = args.integer();
  const float* x = args.tensor<float>(n);
  uint8_t* out = args.tensor<uint8_t>(n);
  for (int64_t i = 0; i < n; ++i)
    out[i] = which == 0 ? std::isnan(x[i]) : which == 1 ? std::isinf(x[i]) : std::isfinite(x[i]);
}

// Arguments: dtype, count, value, out.
VQ_OP(Fill) {
  const DType dtype = dtype_of(args.number());
  const int64_t n = args.integer();
  const double value = args.number();
  if (dtype == DType::kFloat32) {
    float* out = args.tensor<float>(n);
    const float v = static_cast<float>(value);
    parallel_for(n, kGrain, args.ctx.threads, [=](int64_t b, int64_t e) { std::fill(out + b, out + e, v); });
  } else if (dtype == DType::kInt32) {
    int32_t* out = args.tensor<int32_t>(n);
    std::fill(out, out + n, to_int32(value));
  } else {
    uint8_t* out = args.tensor<uint8_t>(n);
    std::fill(out, out + n, static_cast<uint8_t>(value != 0));
  }
}

// Most floats fit an int32: those that do not are looked for first, so that the loop over the others has no branch.
void to_whole(const float* x, int32_t* out, int64_t n) {
  constexpr int64_t kBlock = 1024;
  for (int64_t first = 0; first < n; first += kBlock) {
    const int64_t end = std::min(n, first + kBlock);
    bool fits = true;
    for (int64_t i = first; i < end; ++i) fits &= x[i] >= -2147483648.0f && x[i] < 2147483648.0f;
    if (fits)
      for (int64_t i = first; i < end; ++i) out[i] = static_cast<int32_t>(x[i]);
    else
      for (int64_t i = first; i < end; ++i) out[i] = to_int32(x[i]);
  }
}

// Arguments: from, to, count, x, out. Floats become int32 as they do in JavaScript: cut towards zero, modulo 2^32.
VQ_OP(Cast) {
  const DType from = dtype_of(args.number()), to = dtype_of(args.number());
  const int64_t n = args.integer();
  auto convert = [&](auto* x, auto* out) {
    using To = std::remove_reference_t<decltype(out[0])>;
    using From = std::remove_reference_t<decltype(x[0])>;
    if constexpr (std::is_same_v<To, int32_t> && std::is_same_v<From, float>) return to_whole(x, out, n);
    else
      for (int64_t i = 0; i < n; ++i) {
        if constexpr (std::is_same_v<To, uint8_t>) out[i] = x[i] != 0;
        else out[i] = static_cast<To>(x[i]);
      }
  };
  auto to_any = [&](auto* x) {
    if (to == DType::kFloat32) convert(x, args.tensor<float>(n));
    else if (to == DType::kInt32) convert(x, args.tensor<int32_t>(n));
    else convert(x, args.tensor<uint8_t>(n));
  };
  if (from == DType::kFloat32) to_any(args.tensor<float>(n));
  else if (from == DType::kInt32) to_any(args.tensor<int32_t>(n));
  else to_any(args.tensor<uint8_t>(n));
}

// Arguments: dtype, condition, its shape, t, its shape, e, its shape, out, its shape.
VQ_OP(Select) {
  const DType dtype = dtype_of(args.number());
  const size_t each = bytes_of(dtype);
  std::array<const uint8_t*, 3> in{};
  std::array<Shape, 3> shapes;
  for (int i = 0; i < 3; ++i) {
    Buffer& b = args.buffer(i == 0 ? DType::kBool : dtype);
    shapes[i] = args.shape();
    check(b.bytes / (i == 0 ? 1 : each) >= static_cast<size_t>(shapes[i].size()), "an operand's buffer is smaller than its shape");
    in[i] = static_cast<const uint8_t*>(b.data);
  }
  Buffer& o = args.buffer(dtype);
  const Shape so = args.shape();
  check(o.bytes / each >= static_cast<size_t>(so.size()), "the result's buffer is smaller than its shape");
  uint8_t* out = static_cast<uint8_t*>(o.data);
  if (so.size() == 0) return;
  const auto walk = broadcast<3>(so, shapes);
  const int last = walk.rank - 1;
  run_walk(walk, args.ctx.threads, [&](int64_t outer, int64_t begin, int64_t end) {
    const auto at = walk.offsets(outer);
    auto pick = [&](auto zero) {
      using T = decltype(zero);
      const T *t = reinterpret_cast<const T*>(in[1]) + at[1], *e = reinterpret_cast<const T*>(in[2]) + at[2];
      T* r = reinterpret_cast<T*>(out) + at[3];
      for (int64_t i = begin; i < end; ++i)
        r[i] = in[0][at[0] + i * walk.stride[0][last]] ? t[i * walk.stride[1][last]] : e[i * walk.stride[2][last]];
    };
    if (each == 4) pick(int32_t{});
    else pick(uint8_t{});
  });
}

}  // namespace vq
#endif  // HWY_ONCE
