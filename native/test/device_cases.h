// One list of cases for every device behind vq/backend.h: the emulated one in the native tests, a GPU in vq_gpu_test.
// Results must be the bits of the CPU's kernels, failures its words.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "vq/backend.h"

namespace vq_test {

struct DeviceCases {
  const vq_backend& backend;
  vq_context* context;
  std::function<void(bool ok, const std::string& what)> expect;
  bool large = false;  // sizes for a GPU
  int threads = 2;     // of the reference

  void nearest_sizes() const;
  void nearest_hard_data() const;
  void nearest_failures() const;
  void filter_sizes() const;
  void filter_hard_data() const;
  void filter_worst_case() const;
  void filter_failures() const;
  void ema_sizes() const;
  void ema_failures() const;
  void buffers_and_events() const;
  void stopping() const;
  // device_sums_cases.cc
  void ema_skewed() const;
  // device_residual_cases.cc
  void residual_sizes() const;
  void residual_failures() const;
  void residual_routes() const;
  void residual_beams() const;
  // device_kmeans_cases.cc
  void kmeans_settings() const;
  void kmeans_blocks() const;
  void kmeans_near_the_tolerance() const;
  void kmeans_failures() const;
  // device_nearest_blocks_cases.cc
  void nearest_blocks() const;
  // device_far_cases.cc
  void far_ends() const;
  // device_training_cases.cc
  void estimators() const;
  void codes_begin_anew() const;
  // device_lattice_cases.cc
  void fsq_codes() const;
  void lfq_codes() const;
  void lattice_failures() const;
  // device_entropy_cases.cc
  void lfq_entropies() const;
  void lfq_entropies_repeat() const;

  struct Named {
    const char* name;
    void (DeviceCases::*run)() const;
  };
  static const Named all[];
  static const int count;
};

}  // namespace vq_test
