// One call of a kernel of the op table, from plain vectors to plain vectors.
#pragma once
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

#include "vq/op.h"

namespace vq_test {

inline std::vector<float> noise(int64_t n, uint32_t seed, float scale = 1) {
  std::vector<float> v(n);
  for (float& x : v) {
    seed = seed * 1664525u + 1013904223u;
    x = scale * (static_cast<float>(seed) / 2147483648.0f - 1.0f);
  }
  return v;
}

// One call of a kernel; outputs are collected in order.
class Call {
 public:
  explicit Call(int threads) { context_.threads = threads; }
  Call& numbers(std::initializer_list<double> values) {
    arguments_.insert(arguments_.end(), values);
    return *this;
  }
  template <class T>
  Call& in(const std::vector<T>& values) {
    const int32_t handle = context_.allocate(values.size() * sizeof(T));
    if (!values.empty()) std::memcpy(context_.at(handle).data, values.data(), values.size() * sizeof(T));
    return numbers({static_cast<double>(handle)});
  }
  Call& none() { return numbers({-1}); }
  Call& out(int64_t n) {
    outputs_.push_back({context_.allocate(n * sizeof(float)), n});
    return numbers({static_cast<double>(outputs_.back().handle)});
  }
  // Read and written: what it holds afterwards is an output.
  Call& in_out(const std::vector<float>& values) {
    in(values);
    outputs_.push_back({static_cast<int32_t>(arguments_.back()), static_cast<int64_t>(values.size())});
    return *this;
  }
  std::vector<std::vector<float>> run(const char* name) {
    for (const vq::OpEntry& op : vq::op_table()) {
      if (std::string(op.name) != name) continue;
      vq::Args args(context_, arguments_.data(), static_cast<int>(arguments_.size()));
      op.run(args);
    }
    std::vector<std::vector<float>> results;
    for (const Output& o : outputs_) {
      const float* data = static_cast<const float*>(context_.at(o.handle).data);
      results.emplace_back(data, data + o.n);
    }
    return results;
  }

 private:
  struct Output {
    int32_t handle;
    int64_t n;
  };
  vq::Context context_;
  std::vector<double> arguments_;
  std::vector<Output> outputs_;
};

}  // namespace vq_test
