#include "vq/versions.h"

#include <hwy/highway.h>
#include <omp.h>

#include "cpu/dnnl_compat.h"

namespace vq {
namespace {

std::string dotted(int major, int minor, int patch) {
  return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> versions() {
  const dnnl_version_t* dnnl = dnnl_version();  // of the library that is loaded, not of the headers
#if defined(__clang__)
  const std::string compiler = "clang " __clang_version__;
#elif defined(__GNUC__)
  const std::string compiler = "g++ " __VERSION__;
#else
  const std::string compiler = "unknown";
#endif
  return {
      {"oneDNN", dotted(dnnl->major, dnnl->minor, dnnl->patch)},
      {"Highway", dotted(HWY_MAJOR, HWY_MINOR, HWY_PATCH)},
      {"OpenMP", std::to_string(_OPENMP)},
      {"compiler", compiler},
  };
}

}  // namespace vq
