// Errors cross the binding as (code, message); TypeScript turns the code into a typed error.
#pragma once
#include <stdexcept>
#include <string>

namespace vq {

struct Error : std::runtime_error {
  enum Code { kShape, kConfig, kDevice, kMemory, kValue };
  Error(Code c, const std::string& message) : std::runtime_error(message), code(c) {}
  Code code;
};

[[noreturn]] inline void fail(Error::Code code, const std::string& message) { throw Error(code, message); }
inline void check(bool ok, const char* what) {
  if (!ok) fail(Error::kShape, what);
}

}  // namespace vq
