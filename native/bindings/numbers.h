// Numbers and levels out of JavaScript, checked.
#pragma once
#include <napi.h>

#include <cmath>
#include <string>
#include <vector>

#include "vq/fsq_levels.h"

namespace vq_node {

using Info = Napi::CallbackInfo;

inline int64_t whole(const Napi::Value& v, int64_t least, int64_t most, const char* name) {
  const double d = v.IsNumber() ? v.As<Napi::Number>().DoubleValue() : NAN;
  if (!(d >= static_cast<double>(least) && d <= static_cast<double>(most)) || d != std::floor(d))
    vq::fail(vq::Error::kConfig, std::string(name) + " is out of range");
  return static_cast<int64_t>(d);
}
inline float real(const Napi::Value& v, const char* name) {
  const double d = v.IsNumber() ? v.As<Napi::Number>().DoubleValue() : NAN;
  if (!std::isfinite(d)) vq::fail(vq::Error::kConfig, std::string(name) + " is not a number");
  return static_cast<float>(d);
}
inline vq::FsqLevels levels_of(const Napi::Value& list, const Napi::Value& bound) {
  if (!list.IsArray()) vq::fail(vq::Error::kConfig, "levels is not an array");
  const Napi::Array all = list.As<Napi::Array>();
  if (all.Length() > 31) vq::fail(vq::Error::kConfig, "there are more than 31 levels");
  std::vector<int64_t> levels;
  for (uint32_t i = 0; i < all.Length(); ++i) levels.push_back(whole(all.Get(i), 2, vq::gpu::kFsqMostLevels, "a level"));
  return vq::FsqLevels(levels, static_cast<vq::gpu::FsqBound>(whole(bound, 0, 1, "bound")));
}

}  // namespace vq_node
