// The filter on the emulated device: the cases of every device in three orders, and what only an emulated one can show, for
// one that the bound is needed.
#include <cmath>
#include <string>

#include "check.h"
#include "cuda/scans_agree.h"
#include "device_buffers.h"
#include "device_cases.h"
#include "emulated/machine.h"
#include "product_sums.h"
#include "vq/isa.h"
#include "vq/philox.h"

namespace {

using namespace vq::gpu;
using Machine = EmulatedMachine;

const vq_backend& emulated() { return *Table<Machine>::open(VQ_BACKEND_VERSION, "emulated"); }

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr int kOrders[] = {2};
#else
constexpr int kOrders[] = {0, 1, 2};
#endif

// Checks that failed; with `silent` they are expected to.
int failures_of(void (vq_test::DeviceCases::*run)() const, int order, bool silent = false) {
  Machine::order = order;
  Machine::filter_rows = order == 2 ? 1 << 17 : 1;  // all rows in one launch, or 512
  vq::set_isa("scalar");
  vq_context* context = nullptr;
  VQ_EXPECT(emulated().context_create(0, &context) == VQ_OK);
  int failures = 0;
  const vq_test::DeviceCases cases{emulated(), context, [&](bool ok, const std::string& what) {
                                     if (ok) return;
                                     ++failures;
                                     if (!silent) std::printf("order %d: %s\n", order, what.c_str());
                                   }};
  (cases.*run)();
  emulated().context_destroy(context);
  Machine::order = 0;
  vq::set_isa("auto");
  return failures;
}

void run_case(void (vq_test::DeviceCases::*run)() const) {
#ifdef __SANITIZE_THREAD__
  return;  // the emulation is one thread: there is no race to find
#endif
  for (int order : kOrders) {
    const int64_t before = Machine::live;
    VQ_EXPECT(failures_of(run, order) == 0);
    VQ_EXPECT(Machine::live == before);
  }
}

// Rows of a filtered call that were scored in full, of so many.
struct Outcome {
  int64_t filtered, undecided;
};
Outcome outcome_of(int64_t n, int64_t k, int64_t dim, const std::vector<float>& x, const std::vector<float>& codes, int route) {
  vq_context* context = nullptr;
  VQ_EXPECT(emulated().context_create(0, &context) == VQ_OK);
  Machine::filtered = Machine::undecided = 0;
  {
    vq_test::DeviceArray<float> dx(emulated(), context, x), dc(emulated(), context, codes);
    vq_test::DeviceArray<int32_t> indices(emulated(), context, n);
    const vq_nearest_args args{n, k, dim, VQ_L2, route, dx, dc, indices, nullptr};
    VQ_EXPECT(emulated().nearest(context, &args, nullptr) == VQ_OK);
  }
  emulated().context_destroy(context);
  return {Machine::filtered, Machine::undecided};
}
std::vector<float> normal(int64_t n, uint64_t seed) {
  vq::Philox g(seed);
  std::vector<float> v(n);
  for (float& x : v) x = static_cast<float>(g.normal());
  return v;
}

}  // namespace

VQ_TEST(filtered_nearest_gives_the_reference_bits) { run_case(&vq_test::DeviceCases::filter_sizes); }
VQ_TEST(filtered_nearest_gives_the_reference_bits_on_hard_data) { run_case(&vq_test::DeviceCases::filter_hard_data); }
VQ_TEST(filtered_nearest_gives_the_reference_bits_where_all_roundings_err_alike) {
  run_case(&vq_test::DeviceCases::filter_worst_case);
}
VQ_TEST(rows_again_and_again_have_the_codes_of_the_first) { run_case(&vq_test::DeviceCases::far_ends); }
VQ_TEST(filtered_nearest_fails_in_the_reference_words) { run_case(&vq_test::DeviceCases::filter_failures); }

VQ_TEST(residual_codes_and_clusters_by_the_filter_are_the_reference_bits) {
#ifndef __SANITIZE_THREAD__
  Machine::filters = true;
  Machine::filtered = 0;
  for (auto run : {&vq_test::DeviceCases::residual_sizes, &vq_test::DeviceCases::residual_failures, &vq_test::DeviceCases::kmeans_settings,
                   &vq_test::DeviceCases::kmeans_failures})
    VQ_EXPECT(failures_of(run, 2) == 0);
  VQ_EXPECT(Machine::filtered > 0);
  Machine::filters = false;
#endif
}

VQ_TEST(a_tenth_of_the_filters_bound_loses_the_nearest_code) {
#ifndef __SANITIZE_THREAD__
  Machine::share = 0.1f;
  VQ_EXPECT(failures_of(&vq_test::DeviceCases::filter_worst_case, 0, true) > 0);
  Machine::share = 1;
  Machine::undecided = 0;
  VQ_EXPECT(failures_of(&vq_test::DeviceCases::filter_worst_case, 0) == 0);
  VQ_EXPECT(Machine::undecided == 0);
#endif
}

VQ_TEST(the_filter_decides_ordinary_rows_and_leaves_the_others) {
  const int64_t n = 300, k = 700, dim = 40;
  std::vector<float> x = normal(n * dim, 1), codes = normal(k * dim, 2);
  Outcome o = outcome_of(n, k, dim, x, codes, VQ_ROUTE_FILTER);
  VQ_EXPECT(o.filtered == n && o.undecided == 0);
  // Rows whose bound overflows, but not their scores.
  for (int64_t row : {4, 200})
    for (int64_t d = 0; d < dim; ++d) x[row * dim + d] *= 1e18f;
  codes[0] *= 1e18f;
  o = outcome_of(n, k, dim, x, codes, VQ_ROUTE_FILTER);
  VQ_EXPECT(o.filtered == n && o.undecided >= 2);
  // More equal codes than a list has places.
  for (int64_t i = 0; i < k * dim; ++i) codes[i] = codes[i % dim];
  o = outcome_of(n, k, dim, normal(n * dim, 1), codes, VQ_ROUTE_FILTER);
  VQ_EXPECT(o.filtered == n && o.undecided == n);
  VQ_EXPECT(outcome_of(n, k, dim, x, normal(k * dim, 2), VQ_ROUTE_AUTO).filtered == 0);  // small
  VQ_EXPECT(outcome_of(n, k, dim, x, normal(k * dim, 2), VQ_ROUTE_FULL).filtered == 0);
}


VQ_TEST(the_filter_pays_for_large_sizes_alone) {
  const Machine m(0);
  const auto suits = [&](int64_t n, int64_t k, int64_t dim) { return CodeFilter<Machine>::suits(m, Route::kAuto, n, k, dim); };
  VQ_EXPECT(suits(1000000, 8192, 256) && suits(1000000, 1024, 64) && suits(100, 1000000, 4096));
  VQ_EXPECT(!suits(8192, 1024, 64) && !suits(1000000, 100, 256) && !suits(1000000, 8192, 16) && !suits(1000000, 8192, 5000));
}

VQ_TEST(a_scan_that_differs_is_found_out) {
  Machine m(0);
  const auto plain = [&](const ScanArrays& a) { m.launch(FilterScan{a}); };
  for (int64_t dim : {40, 100}) VQ_EXPECT(scans_agree(m, dim, plain, plain));  // sums are rounded in other ways
  // A scan that is wrong in one place: rows of the second eight, some elements, one tile of codes, one bias.
  const auto spoiled = [&](auto&& spoil) {
    return scans_agree(m, 40, plain, [&](const ScanArrays& a) {
      ScanArrays b = a;
      std::vector<uint16_t> rows(a.rows, a.rows + a.row_tiles * kTileElements), codes(a.codes, a.codes + a.code_tiles * kTileElements);
      std::vector<float> bias(a.bias, a.bias + a.code_tiles * kTileRows);
      spoil(rows, codes, bias);
      b.rows = rows.data(), b.codes = codes.data(), b.bias = bias.data();
      plain(b);
    });
  };
  using Tiles = std::vector<uint16_t>&;
  using Biases = std::vector<float>&;
  VQ_EXPECT(spoiled([](Tiles, Tiles, Biases) {}));
  VQ_EXPECT(!spoiled([](Tiles rows, Tiles, Biases) {
    for (int i = 0; i < 8 * kTileDepth; ++i) std::swap(rows[i], rows[8 * kTileDepth + i]);
  }));
  VQ_EXPECT(!spoiled([](Tiles rows, Tiles, Biases) {
    for (int i = 0; i < 16; ++i) rows[in_tile(5, i)] = 0;
  }));
  VQ_EXPECT(!spoiled([](Tiles, Tiles codes, Biases) { std::fill(codes.begin(), codes.begin() + kTileElements, uint16_t{0}); }));
  VQ_EXPECT(!spoiled([](Tiles, Tiles, Biases bias) {
    for (size_t i = 0; i < bias.size(); i += 8) std::swap(bias[i], bias[i + 1]);
  }));
  VQ_EXPECT(!scans_agree(m, 40, plain, [&](const ScanArrays& a) {
    plain(a);
    for (int64_t i = 0; i < a.row_tiles * kTileRows * a.splits; ++i) a.counts[i] = 0;
  }));
}

// PTX ISA: with 128-byte swizzle the 16-byte chunks of each 128 bytes are permuted by the address' bits 7 to 9.
VQ_TEST(tiles_lie_as_the_128_byte_swizzle_has_them) {
  std::vector<int> seen(kTileElements, 0);
  for (int row = 0; row < kTileRows; ++row)
    for (int d = 0; d < kTileDepth; ++d) {
      const int plain = 2 * (row * kTileDepth + d), swizzled = plain ^ ((plain >> 7 & 7) << 4);
      VQ_EXPECT(2 * in_tile(row, d) == swizzled);
      ++seen[in_tile(row, d)];
    }
  for (int count : seen) VQ_EXPECT(count == 1);
}

VQ_TEST(codes_are_dealt_to_the_tiles_once_each) {
  for (int64_t k : {1, 127, 128, 129, 1000}) {
    const int64_t tiles = tiles_of(k);
    std::vector<int> seen(tiles * kTileRows, 0);
    for (int64_t at = 0; at < tiles * kTileRows; ++at) ++seen[code_at(at, tiles)];
    for (int count : seen) VQ_EXPECT(count == 1);
  }
}

// One warp: 16 rows and 8 codes of 16 elements, integers whose sums are exact in any order.
namespace {
struct OneProduct {
  static constexpr int kThreads = 32;
  struct Shared {
    alignas(16) uint16_t rows[16][8 * 2], codes[16][8 * 2];
  };
  struct Registers {
    uint32_t rows[4], codes[4];
    float sums[2][4];
  };
  const uint16_t *rows, *codes;  // [16, 16]
  float* out;                    // [16, 16]
  int64_t blocks() const { return 1; }
  template <class Block>
  void run(Block& block) const {
    Shared& s = block.shared();
    block.fetch([&](int thread) {
      block.copy_chunk(&s.rows[thread / 2][thread % 2 * 8], rows + thread * 8);
      block.copy_chunk(&s.codes[thread / 2][thread % 2 * 8], codes + thread * 8);
    });
    block.template arrived<0>();
    block.warps([&](int, auto& w) {
      w.each([&](int, Registers& r) {
        for (int i = 0; i < 8; ++i) r.sums[i / 4][i % 4] = 0;
      });
      w.matrices([&](Registers& r) { return r.rows; }, [&](int lane) { return &s.rows[lane % 16][lane / 16 * 8]; });
      w.matrices([&](Registers& r) { return r.codes; },
                 [&](int lane) { return &s.codes[lane % 8 + lane / 16 * 8][lane / 8 % 2 * 8]; });
      for (int j = 0; j < 2; ++j)
        w.multiply([&](Registers& r) { return r.sums[j]; }, [&](Registers& r) { return r.rows; },
                   [&](Registers& r) { return r.codes + 2 * j; });
      w.each([&](int lane, Registers& r) {
        for (int j = 0; j < 2; ++j)
          for (int c = 0; c < 4; ++c) out[(lane / 4 + c / 2 * 8) * 16 + j * 8 + lane % 4 * 2 + c % 2] = r.sums[j][c];
      });
    });
  }
};
}  // namespace

VQ_TEST(products_of_fragments_are_products_of_matrices) {
  vq::Philox g(5);
  std::vector<uint16_t> rows(256), codes(256);
  for (auto* m : {&rows, &codes})
    for (uint16_t& v : *m) v = to_bf16(static_cast<float>(g.below(129)) - 64);
  std::vector<float> out(256);
  Machine machine(0);
  machine.launch(OneProduct{rows.data(), codes.data(), out.data()});
  for (int r = 0; r < 16; ++r)
    for (int c = 0; c < 16; ++c) {
      float sum = 0;
      for (int d = 0; d < 16; ++d) sum += of_bf16(rows[r * 16 + d]) * of_bf16(codes[c * 16 + d]);
      VQ_EXPECT(out[r * 16 + c] == sum);
    }
}

// What the emulation adds up stays within the share of the bound that is there for it, and is no small part of that.
VQ_TEST(the_bound_covers_every_way_of_adding_up) {
  const int64_t dim = 512;
  double worst = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    vq::Philox g(seed);
    std::vector<float> x(dim), e(dim);
    double exact = 0, xx = 0, ee = 0;
    for (int64_t d = 0; d < dim; ++d) {
      x[d] = of_bf16(to_bf16(1 + static_cast<float>(g.uniform())));
      e[d] = of_bf16(to_bf16(std::ldexp(1 + static_cast<float>(g.uniform()), -static_cast<int>(g.below(8)))));
      exact += static_cast<double>(x[d]) * e[d], xx += static_cast<double>(x[d]) * x[d], ee += static_cast<double>(e[d]) * e[d];
    }
    const double bound = float_share(dim) * std::sqrt(xx * ee);
    for (int how = 0; how < static_cast<int>(Adding::kCount); ++how) {
      float sum = 0;
      for (int64_t d = 0; d < dim; d += 16) sum = sum_of_products(&x[d], &e[d], sum, static_cast<Adding>(how));
      VQ_EXPECT(std::fabs(sum - exact) <= bound);
      worst = std::max(worst, std::fabs(sum - exact) / bound);
    }
  }
  VQ_EXPECT(worst > 0.01);  // truncation loses half a unit on average, of half the sum
}

// In the worst case of device_filter_cases.cc the roundings move a score by nearly all of the bound.
VQ_TEST(the_bound_is_met_where_all_roundings_err_alike) {
  const int64_t dim = 256;
  const float a = 1 + 0x1p-8f - 0x1p-22f, rounded = of_bf16(to_bf16(a));
  VQ_EXPECT(rounded == 1);
  const float off = a - rounded, n = static_cast<float>(dim);
  const RowBound row = row_bound(n * a * a, n * off * off, dim);
  const CodeBound code = code_bound(Kind::kDot, n * a * a, n * off * off, n * a * a, 0, dim);
  const double moved = dim * (static_cast<double>(a) * a - 1), room = room_of(row, code);
  VQ_EXPECT(moved <= room && moved > 0.95 * room);
}

VQ_TEST(a_bound_is_finite_only_where_no_sum_overflows) {
  const CodeBound code = code_bound(Kind::kL2, 4, 1e-4f, 4, 1, 8);
  VQ_EXPECT(has_bound(row_bound(9, 1e-3f, 8), code.size, 1) && std::isfinite(room_of(row_bound(9, 1e-3f, 8), code)));
  for (float bad : {std::nanf(""), INFINITY}) {
    VQ_EXPECT(!has_bound(row_bound(bad, 1, 8), code.size, 1));
    VQ_EXPECT(!has_bound(row_bound(9, bad, 8), code.size, 1));
    VQ_EXPECT(!has_bound(row_bound(9, 1, 8), code_bound(Kind::kL2, bad, 1, 4, 1, 8).size, 1));
    VQ_EXPECT(!has_bound(row_bound(9, 1, 8), code.size, bad));
  }
  VQ_EXPECT(!has_bound(row_bound(3e38f, 1, 8), 1e19f, 0));
}

VQ_TEST(keys_order_scores_and_codes_as_the_contract) {
  const float scores[] = {-INFINITY, -2, -1e-40f, -0.0f, 0.0f, 1e-40f, 3, INFINITY};
  for (float a : scores)
    for (float b : scores)
      for (int32_t i : {0, 1, 2147483646})
        for (int32_t j : {0, 1, 2147483646}) {
          const bool first = better(a, i, {b, j});
          VQ_EXPECT((key_of(a, i) < key_of(b, j)) == first);
          VQ_EXPECT(of_key(key_of(a, i)).score == a && of_key(key_of(a, i)).code == i);
        }
  VQ_EXPECT(to_bf16(INFINITY) == 0x7f80 && to_bf16(3.4e38f) == 0x7f80 && to_bf16(-1.0f) == 0xbf80);
  VQ_EXPECT(to_bf16(1 + 0x1p-8f) == 0x3f80 && to_bf16(1 + 3 * 0x1p-8f) == 0x3f82);  // ties to even
}

// Where memory is short the filter is left out: no call fails for what only it needs.
VQ_TEST(nearest_needs_no_memory_of_the_filter) {
  const int64_t n = 150, k = 200, dim = 20;
  const std::vector<float> x = normal(n * dim, 1), codes = normal(k * dim, 2);
  vq_context* context = nullptr;
  VQ_EXPECT(emulated().context_create(0, &context) == VQ_OK);
  {
    vq_test::DeviceArray<float> dx(emulated(), context, x), dc(emulated(), context, codes);
    vq_test::DeviceArray<int32_t> indices(emulated(), context, n);
    vq_nearest_args args{n, k, dim, VQ_L2, VQ_ROUTE_FULL, dx, dc, indices, nullptr};
    VQ_EXPECT(emulated().nearest(context, &args, nullptr) == VQ_OK);
    const std::vector<int32_t> want = indices.values();
    args.route = VQ_ROUTE_FILTER;
    int refused = 0, left_out = 0;
    const int64_t before = Machine::live;
    for (int after = 0;; ++after) {
      Machine::filtered = 0, Machine::fail_in = after;
      const int code = emulated().nearest(context, &args, nullptr);
      const bool failed = Machine::fail_in < 0;
      Machine::fail_in = -1;
      VQ_EXPECT(Machine::live == before);
      if (code == VQ_OK) VQ_EXPECT(vq_test::same_bits(indices.values(), want));
      refused += code == VQ_ERROR_MEMORY, left_out += code == VQ_OK && Machine::filtered == 0;
      if (!failed) break;
    }
    VQ_EXPECT(refused >= 2 && left_out > 10);
  }
  emulated().context_destroy(context);
}

// On a GPU cuda/on-gpu/product_sums.cu asks this of the tensor cores themselves.
VQ_TEST(sums_of_products_are_off_by_less_than_the_bound_takes) {
  Machine m(0);
  const vq_test::WorstSum worst = vq_test::worst_sum(m, 3, {16, 32, 160});
  VQ_EXPECT(worst.share > 0.02 && worst.share <= 1);
  // And by way of the scan, on which wgmma is tried.
  const auto plain = [&](const ScanArrays& a) { m.launch(FilterScan{a}); };
  const vq_test::WorstSum scanned = vq_test::worst_scanned_sum(m, 1, 3, {16, 80}, plain);
  VQ_EXPECT(scanned.share > 0.02 && scanned.share <= 1);
  const vq_test::WorstSum lost = vq_test::worst_scanned_sum(m, 1, 3, {80}, [&](ScanArrays a) {
    a.dim = 64;  // the last elements are left out
    FilterScan scan{a};
    std::vector<uint16_t> rows(kTileElements), codes(3 * kTileElements);
    std::copy_n(a.rows, kTileElements, rows.begin());
    for (int64_t k = 0; k < 3; ++k) std::copy_n(a.codes + 2 * k * kTileElements, kTileElements, codes.begin() + k * kTileElements);
    scan.a.rows = rows.data(), scan.a.codes = codes.data();
    m.launch(scan);
  });
  VQ_EXPECT(lost.share > 1);
  // One sum beyond is found out, and one that is no number.
  const std::vector<uint16_t> ones(16 * 16, to_bf16(1.0f));
  std::vector<float> sums(16 * 8, 16.0f);
  const auto share = [&] { return vq_test::share_of_bound(ones, ones, 1, 16, sums); };
  VQ_EXPECT(share() == 0);
  sums[77] += 16 * 16 * 6.5f * 0x1p-24f;
  VQ_EXPECT(share() > 1 && share() < 1.2);
  sums[5] = NAN;
  VQ_EXPECT(std::isinf(share()));
}
