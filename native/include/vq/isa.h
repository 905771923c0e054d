// Which instruction set the quantization kernels use. Every choice gives the same bits; tests prove it.
#pragma once
#include <string>
#include <vector>

namespace vq {

// "scalar" (plain C++ with std::fma) first, then what this machine offers, slowest to fastest.
std::vector<std::string> isa_list();
std::string isa();                        // the one in use
void set_isa(const std::string& name);    // one of isa_list() or "auto" (the fastest); process-wide

}  // namespace vq
