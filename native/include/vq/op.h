// The one table of tensor kernels. A kernel reads its arguments in order from a block of doubles that TypeScript filled:
// tensor handles, integers, floats, shapes (rank, then sizes). It checks every buffer's size before it touches it.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "vq/context.h"
#include "vq/dtype.h"
#include "vq/error.h"

namespace vq {

struct Shape {
  static constexpr int kMaxRank = 12;
  int rank = 0;
  std::array<int64_t, kMaxRank> dim{};
  int64_t size() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i)
      if (__builtin_mul_overflow(n, dim[i], &n)) fail(Error::kShape, "a shape of more elements than can be counted");
    return n;
  }
};

class Args {
 public:
  static constexpr int kCapacity = 256;
  Args(Context& c, double* values, int count) : ctx(c), values_(values), count_(count) {}

  double number() {
    if (next_ >= count_) fail(Error::kValue, "kernel called with too few arguments");
    return values_[next_++];
  }
  int64_t integer() {
    const double v = number();
    // Also catches NaN and what an int64 cannot hold.
    if (!(v >= -9.0e15 && v <= 9.0e15) || v != static_cast<double>(static_cast<int64_t>(v)))
      fail(Error::kShape, "kernel called with " + std::to_string(v) + " where a whole number belongs");
    return static_cast<int64_t>(v);
  }
  float real() { return static_cast<float>(number()); }
  bool flag() { return number() != 0; }
  bool done() const { return next_ >= count_; }
  Shape shape() {
    Shape s;
    s.rank = static_cast<int>(integer());
    if (s.rank < 0 || s.rank > Shape::kMaxRank) fail(Error::kShape, "kernel called with a rank over 12");
    for (int i = 0; i < s.rank; ++i) {
      s.dim[i] = integer();
      if (s.dim[i] < 0) fail(Error::kShape, "kernel called with a negative size");
    }
    return s;
  }
  // The next argument as a tensor of at least `count` elements of T.
  template <class T>
  T* tensor(int64_t count) {
    return static_cast<T*>(sized(buffer(dtype_for<T>()), count, sizeof(T)));
  }
  // The same for a kernel that moves elements without looking at them.
  uint8_t* bytes(DType type, int64_t count) {
    return static_cast<uint8_t*>(sized(buffer(type), count, bytes_of(type)));
  }
  // The next argument as a tensor of that type, whatever its size.
  Buffer& buffer(DType type) { return buffer(number(), type); }
  Buffer& buffer(double handle, DType type) {
    Buffer& b = ctx.at(handle >= 0 && handle < 2147483648.0 ? static_cast<int32_t>(handle) : -1);
    if (b.type >= 0 && b.type != static_cast<int>(type))
      fail(Error::kValue, std::string("a tensor of ") + name_of(b.type) + " where the kernel takes " + name_of(static_cast<int>(type)));
    return b;
  }
  // A number handed back to TypeScript: it stands first in the block after the call.
  void answer(double v) { values_[0] = v; }
  // A tensor that may be left out (handle -1).
  template <class T>
  T* optional(int64_t count) {
    if (next_ < count_ && values_[next_] < 0) return ++next_, nullptr;
    return tensor<T>(count);
  }

  Context& ctx;

 private:
  static void* sized(Buffer& b, int64_t count, size_t each) {
    if (count < 0 || b.bytes / each < static_cast<size_t>(count))
      fail(Error::kShape, "tensor buffer holds " + std::to_string(b.bytes) + " bytes, kernel needs " +
                              std::to_string(count) + " elements of " + std::to_string(each));
    return b.data;
  }

  double* values_;
  int count_, next_ = 0;
};

using OpFunction = void (*)(Args&);
struct OpEntry {
  const char* name;
  OpFunction run;
};
std::vector<OpEntry>& op_table();

struct OpRegistration {
  OpRegistration(const char* name, OpFunction run) { op_table().push_back({name, run}); }
};

}  // namespace vq

// VQ_OP(Name) { ... args ... } defines and registers one kernel.
#define VQ_OP(Name)                                                       \
  static void vq_op_##Name(::vq::Args& args);                             \
  static const ::vq::OpRegistration vq_registration_##Name(#Name, vq_op_##Name); \
  static void vq_op_##Name(::vq::Args& args)
