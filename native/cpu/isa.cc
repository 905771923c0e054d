#include "vq/isa.h"

#include <atomic>

#include "cpu/quantize_kernels.h"
#include "vq/error.h"
#include "vq/scratch.h"

namespace vq {
namespace {

const std::vector<const QuantKernels*>& offered() {
  static const std::vector<const QuantKernels*> all = [] {
    std::vector<const QuantKernels*> list{scalar_kernels()};
    for (const QuantKernels* k : {neon_kernels(), avx2_kernels(), avx512_kernels(), avx512_bf16_kernels()})
      if (k) list.push_back(k);
    return list;
  }();
  return all;
}

std::atomic<const QuantKernels*> chosen{nullptr};

}  // namespace

const QuantKernels& quant_kernels() {
  const QuantKernels* k = chosen.load(std::memory_order_relaxed);
  return k ? *k : *offered().back();
}

std::vector<std::string> isa_list() {
  std::vector<std::string> names;
  for (const QuantKernels* k : offered()) names.push_back(k->name);
  return names;
}

std::string isa() { return quant_kernels().name; }

void set_isa(const std::string& name) {
  if (name == "auto") return chosen.store(nullptr);
  for (const QuantKernels* k : offered())
    if (name == k->name) return chosen.store(k);
  fail(Error::kConfig, "no instruction set '" + name + "' on this machine");
}

std::atomic<int64_t> ScratchCount::now{0}, ScratchCount::peak{0};

void ScratchCount::add(int64_t bytes) {
  const int64_t total = now.fetch_add(bytes) + bytes;
  int64_t most = peak.load();
  while (total > most && !peak.compare_exchange_weak(most, total)) {
  }
}

}  // namespace vq
