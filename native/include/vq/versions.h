// Versions of what the native core is made of, for reports.
#pragma once
#include <string>
#include <utility>
#include <vector>

namespace vq {

// Name and version of each library and of the compiler.
std::vector<std::pair<std::string, std::string>> versions();

}  // namespace vq
