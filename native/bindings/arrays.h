// Typed arrays as inputs and outputs of a task. A synchronous task looks at the caller's memory; an asynchronous one owns
// copies, because JavaScript may change, detach or shrink its buffers while the task runs.
#pragma once
#include <napi.h>

#include <cstring>
#include <string>

#include "vq/error.h"
#include "vq/scratch.h"

namespace vq_node {

template <class T>
struct ArrayKind;
template <>
struct ArrayKind<float> {
  static constexpr napi_typedarray_type type = napi_float32_array;
  static constexpr const char* name = "Float32Array";
  using Js = Napi::Float32Array;
};
template <>
struct ArrayKind<int32_t> {
  static constexpr napi_typedarray_type type = napi_int32_array;
  static constexpr const char* name = "Int32Array";
  using Js = Napi::Int32Array;
};
template <>
struct ArrayKind<double> {
  static constexpr napi_typedarray_type type = napi_float64_array;
  static constexpr const char* name = "Float64Array";
};

// Memory and length of a typed array of T; throws for anything else.
template <class T>
T* array_of(const Napi::Value& value, int64_t& length) {
  napi_typedarray_type type;
  size_t n = 0;
  void* data = nullptr;
  if (!value.IsTypedArray() ||
      napi_get_typedarray_info(value.Env(), value, &type, &n, &data, nullptr, nullptr) != napi_ok ||
      type != ArrayKind<T>::type)
    vq::fail(vq::Error::kConfig, std::string("expected a ") + ArrayKind<T>::name);
  length = static_cast<int64_t>(n);
  return n ? static_cast<T*>(data) : nullptr;
}

template <class T>
class Input {
 public:
  void set(const Napi::Value& value, bool copy) {
    data_ = array_of<T>(value, size_);
    if (!copy || size_ == 0) return;
    own_.reset(static_cast<size_t>(size_));
    std::memcpy(own_.data(), data_, static_cast<size_t>(size_) * sizeof(T));
    data_ = own_.data();
  }
  const T* data() const { return data_; }
  int64_t size() const { return size_; }

 private:
  const T* data_ = nullptr;
  int64_t size_ = 0;
  vq::Scratch<T> own_;
};

// A result: made in JavaScript at once for a synchronous task, or when an asynchronous one has ended.
template <class T>
class Output {
 public:
  void make(Napi::Env env, int64_t size, bool async) {
    size_ = size;
    if (async) {
      own_.reset(static_cast<size_t>(size));
      data_ = own_.data();
    } else {
      int64_t length;
      js_ = ArrayKind<T>::Js::New(env, static_cast<size_t>(size));
      data_ = array_of<T>(js_, length);
    }
  }
  T* data() { return data_; }
  Napi::Value take(Napi::Env env) {
    if (!js_.IsEmpty()) return js_;
    Napi::Value js = ArrayKind<T>::Js::New(env, static_cast<size_t>(size_));
    int64_t length;
    T* to = array_of<T>(js, length);
    if (size_) std::memcpy(to, data_, static_cast<size_t>(size_) * sizeof(T));
    return js;
  }

 private:
  T* data_ = nullptr;
  int64_t size_ = 0;
  vq::Scratch<T> own_;
  Napi::Value js_;
};

}  // namespace vq_node
