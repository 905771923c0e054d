// The device kernels, emulated: the case list of every device in three orders of threads and blocks, and what only an
// emulated device can do.
#include <chrono>
#include <future>
#include <string>

#include "check.h"
#include "device_buffers.h"
#include "device_cases.h"
#include "emulated/machine.h"
#include "vq/isa.h"
#include "vq/philox.h"

namespace {

using Machine = vq::gpu::EmulatedMachine;

const vq_backend& emulated() { return *vq::gpu::Table<Machine>::open(VQ_BACKEND_VERSION, "emulated"); }

struct Opened {
  Opened() { VQ_EXPECT(emulated().context_create(0, &context) == VQ_OK); }
  ~Opened() { emulated().context_destroy(context); }
  vq_context* context = nullptr;
};

// Sanitizers slow the emulation down tenfold and look for something else than order: one is enough for them.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kOrders[] = {2};
#else
constexpr int kOrders[] = {0, 1, 2};
#endif

void run_case(void (vq_test::DeviceCases::*run)() const) {
#ifdef __SANITIZE_THREAD__
  return;  // the emulation is one thread: there is no race to find
#endif
  vq::set_isa("scalar");
  for (int order : kOrders) {
    Machine::order = order;
    const int64_t before = Machine::live;
    {
      Opened opened;
      const vq_test::DeviceCases cases{emulated(), opened.context, [&](bool ok, const std::string& what) {
                                         if (ok) return;
                                         ++vq_test::failures;
                                         std::printf("order %d: %s\n", order, what.c_str());
                                       }};
      (cases.*run)();
    }
    VQ_EXPECT(Machine::live == before);  // every failure, too, gave its memory back
  }
  Machine::order = 0;
  vq::set_isa("auto");
}

}  // namespace

VQ_TEST(device_nearest_gives_the_reference_bits) { run_case(&vq_test::DeviceCases::nearest_sizes); }
VQ_TEST(device_nearest_gives_the_reference_bits_on_hard_data) { run_case(&vq_test::DeviceCases::nearest_hard_data); }
VQ_TEST(device_nearest_fails_in_the_reference_words) { run_case(&vq_test::DeviceCases::nearest_failures); }
VQ_TEST(device_averages_give_the_reference_bits) { run_case(&vq_test::DeviceCases::ema_sizes); }
VQ_TEST(device_averages_fail_in_the_reference_words) { run_case(&vq_test::DeviceCases::ema_failures); }
VQ_TEST(device_residual_codes_are_the_reference_bits) { run_case(&vq_test::DeviceCases::residual_sizes); }
VQ_TEST(device_residual_encoding_fails_in_the_reference_words) { run_case(&vq_test::DeviceCases::residual_failures); }
VQ_TEST(device_kmeans_gives_the_reference_bits) { run_case(&vq_test::DeviceCases::kmeans_settings); }
VQ_TEST(device_kmeans_fails_in_the_reference_words) { run_case(&vq_test::DeviceCases::kmeans_failures); }
VQ_TEST(device_buffers_streams_and_events_keep_their_promises) { run_case(&vq_test::DeviceCases::buffers_and_events); }
VQ_TEST(device_calls_stop_when_told) { run_case(&vq_test::DeviceCases::stopping); }
VQ_TEST(device_sums_of_codes_with_most_rows_are_those_of_their_segments) { run_case(&vq_test::DeviceCases::ema_skewed); }
VQ_TEST(device_residual_codes_do_not_depend_on_the_route) { run_case(&vq_test::DeviceCases::residual_routes); }
VQ_TEST(device_beams_are_the_reference_bits) { run_case(&vq_test::DeviceCases::residual_beams); }
VQ_TEST(device_kmeans_in_blocks_is_that_of_resident_rows) { run_case(&vq_test::DeviceCases::kmeans_blocks); }
VQ_TEST(device_kmeans_ends_where_the_reference_ends) { run_case(&vq_test::DeviceCases::kmeans_near_the_tolerance); }
VQ_TEST(device_nearest_of_the_hosts_rows_is_the_reference) { run_case(&vq_test::DeviceCases::nearest_blocks); }
VQ_TEST(device_gradients_past_a_quantizer_are_those_of_float64) { run_case(&vq_test::DeviceCases::estimators); }
VQ_TEST(device_codes_begin_anew_at_rows) { run_case(&vq_test::DeviceCases::codes_begin_anew); }
VQ_TEST(device_fsq_codes_values_and_gradients_are_the_reference_bits) { run_case(&vq_test::DeviceCases::fsq_codes); }
VQ_TEST(device_lfq_codes_and_values_are_the_reference_bits) { run_case(&vq_test::DeviceCases::lfq_codes); }
VQ_TEST(device_codes_without_a_codebook_fail_in_the_reference_words) { run_case(&vq_test::DeviceCases::lattice_failures); }
VQ_TEST(device_lfq_entropies_and_gradients_are_those_of_float64) { run_case(&vq_test::DeviceCases::lfq_entropies); }

// What the emulation adds to lfq_entropies_repeat: another order of threads and blocks, so another last block.
VQ_TEST(device_lfq_entropies_do_not_depend_on_the_order_of_blocks) {
#ifndef __SANITIZE_THREAD__
  const int64_t n = 700, bits = 13, group = 7, tables = (1 << 7) + (1 << 6);
  vq::Philox random(4);
  std::vector<float> z(n * bits);
  for (float& v : z) v = static_cast<float>(random.normal());
  std::vector<float> first;
  for (int order : {0, 1, 2}) {
    Machine::order = order;
    Opened opened;
    const vq_backend& b = emulated();
    vq_test::DeviceArray<float> dz(b, opened.context, z), e(b, opened.context, 1), d(b, opened.context, 1), t(b, opened.context, tables);
    vq_test::DeviceArray<float> out(b, opened.context, n * bits);
    const vq_lfq_entropy_args a{n, bits, group, 3, 0, dz, e, d, t};
    const vq_lfq_entropy_gradient_args g{n, bits, group, 3, 0.7f, -1.3f, 0, dz, t, out};
    VQ_EXPECT(b.lfq_entropy(opened.context, &a, nullptr) == VQ_OK && b.lfq_entropy_gradient(opened.context, &g, nullptr) == VQ_OK);
    std::vector<float> all = t.values();
    for (const auto& part : {e.values(), d.values(), out.values()}) all.insert(all.end(), part.begin(), part.end());
    if (first.empty()) first = all;
    VQ_EXPECT(vq_test::same_bits(first, all));
  }
  Machine::order = 0;
#endif
}

VQ_TEST(a_device_without_memory_says_so_and_keeps_none) {
  const vq_backend& b = emulated();
  Opened opened;
  vq_test::DeviceArray<float> x(b, opened.context, std::vector<float>(600, 0.5f)), codes(b, opened.context, std::vector<float>(30, 1));
  vq_test::DeviceArray<int32_t> indices(b, opened.context, 200);
  const int64_t before = Machine::live;
  int failed = 0;
  for (int after = 0;; ++after) {
    vq_kmeans_args a{};
    a.n = 200, a.k = 10, a.dim = 3, a.iterations = 3, a.init = VQ_INIT_RANDOM, a.spherical = 1, a.tolerance = 1e-4;
    a.x = x, a.centroids = codes, a.assignments = indices;
    Machine::fail_in = after;
    const int code = b.kmeans(opened.context, &a, nullptr);
    Machine::fail_in = -1;
    VQ_EXPECT(Machine::live == before);
    if (code == VQ_OK) break;
    VQ_EXPECT(code == VQ_ERROR_MEMORY && std::string(b.last_error()) == "out of device memory");
    ++failed;
  }
  VQ_EXPECT(failed > 10);
}

// A buffer that the garbage collector finds on the main thread goes at once, not when a long call ends.
VQ_TEST(a_device_buffer_goes_while_a_call_runs) {
  struct Meanwhile {
    vq_buffer* buffer;
    std::future<void> gone;
    bool in_time;
  };
  const vq_backend& b = emulated();
  Opened opened;
  vq_test::DeviceArray<float> x(b, opened.context, std::vector<float>(60, 0.5f)), codes(b, opened.context, 6);
  vq_test::DeviceArray<int32_t> indices(b, opened.context, 20);
  Meanwhile m{nullptr, {}, false};
  VQ_EXPECT(b.buffer_create(opened.context, 1000, &m.buffer) == VQ_OK);
  vq_memory before{}, after{};
  VQ_EXPECT(b.memory(opened.context, &before) == VQ_OK);
  vq_kmeans_args a{};
  a.n = 20, a.k = 2, a.dim = 3, a.iterations = 0, a.init = VQ_INIT_RANDOM;
  a.x = x, a.centroids = codes, a.assignments = indices;
  a.progress = [](void* user, int32_t, double) {
    auto& at = *static_cast<Meanwhile*>(user);
    at.gone = std::async(std::launch::async, [&at] { emulated().buffer_destroy(at.buffer); });
    at.in_time = at.gone.wait_for(std::chrono::seconds(20)) == std::future_status::ready;
  };
  const vq_call call{nullptr, nullptr, &m};
  VQ_EXPECT(b.kmeans(opened.context, &a, &call) == VQ_OK && m.in_time);
  m.gone.wait();
  VQ_EXPECT(b.memory(opened.context, &after) == VQ_OK);
  VQ_EXPECT(after.buffers + 1 == before.buffers && after.in_use + 1000 == before.in_use);
}

VQ_TEST(the_interface_answers_for_its_version_alone) {
  using T = vq::gpu::Table<Machine>;
  VQ_EXPECT(T::open(VQ_BACKEND_VERSION, "x")->size == sizeof(vq_backend));
  VQ_EXPECT(T::open(0, "x")->version == VQ_BACKEND_VERSION);
  VQ_EXPECT(T::open(VQ_BACKEND_VERSION + 1, "x") == nullptr);
}
