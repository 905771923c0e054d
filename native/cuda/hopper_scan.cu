// FilterScan (kernels/filter_scan.h) for sm_90a, with what Hopper has for it: wgmma on tiles in shared memory, filled by the
// bulk copy engine. A tile in memory is already as wgmma reads it, 128-byte swizzle included, so that a copy is one piece of
// 16 KB and needs no tensor map.
//
// A block has 256 rows, two tiles. One warpgroup copies, two compute: each 128 rows x 128 codes in 128 registers per thread,
// as two products of 64 x 128. While one looks at its scores the other multiplies. Rows of up to 256 elements stay in shared
// memory, and each tile of codes is then read once per 256 rows: 256 operations per byte from the L2 cache. Longer rows pass
// through with the codes. A row's scores lie in four neighbouring threads, so its smallest upper bound lives in registers.
#include "cuda/machine.cuh"
#include "cuda/scans_agree.h"

namespace vq::gpu {
namespace {

constexpr int kGroup = 128, kThreads = 3 * kGroup;  // one warpgroup that copies, two that compute
constexpr int kRowTiles = 2;
constexpr int kCopyRegisters = 40, kComputeRegisters = 232;
static_assert(kGroup * (kCopyRegisters + 2 * kComputeRegisters) <= 65536, "registers of a multiprocessor");

template <bool kResident>
struct HopperScan {
  static constexpr int kMostParts = kResident ? 4 : 1;  // that rows stay for
  static constexpr int kStages = kResident ? 5 : 4;
  struct Shared {
    alignas(1024) uint16_t rows[kResident ? kMostParts : kStages][kRowTiles][kTileElements];
    alignas(1024) uint16_t codes[kStages][kTileElements];
    alignas(8) uint64_t full[kStages], empty[kStages], rows_there;
    int32_t count[kRowTiles * kTileRows];
  };
  static_assert(sizeof(Shared) <= 227 << 10, "shared memory of sm_90");
};

#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define VQ_HOPPER 1

__device__ __forceinline__ uint32_t shared_address(const void* p) { return static_cast<uint32_t>(__cvta_generic_to_shared(p)); }

__device__ __forceinline__ void barrier_init(uint64_t* barrier, int count) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count) : "memory");
}
__device__ __forceinline__ void barrier_expect(uint64_t* barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes) : "memory");
}
__device__ __forceinline__ void barrier_arrive(uint64_t* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
__device__ __forceinline__ void barrier_wait(uint64_t* barrier, int parity) {
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@!done bra again;\n"
      "}\n" ::"r"(shared_address(barrier)),
      "r"(parity)
      : "memory");
}
__device__ __forceinline__ void copy_tile(uint16_t* to, const uint16_t* from, uint64_t* barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(shared_address(to)),
               "l"(__cvta_generic_to_global(from)), "r"(kTileBytes), "r"(shared_address(barrier))
               : "memory");
}

// Of a matrix in shared memory whose rows of 64 elements lie one after another with 128-byte swizzle: its address, 1,024 bytes
// from eight rows to the next eight, the swizzle's number. Source: PTX ISA, "Matrix descriptor format".
__device__ __forceinline__ uint64_t descriptor(const uint16_t* matrix) {
  return static_cast<uint64_t>((shared_address(matrix) & 0x3ffff) >> 4) | uint64_t{1} << 16 | uint64_t{1024 >> 4} << 32 |
         uint64_t{1} << 62;
}

// sums = (add ? sums : 0) + rows [64, 16] * codes [128, 16]^T. Thread t of the warpgroup gets of row 16 (t / 32) + 8 h + t % 32 / 4
// and code 8 j + 2 (t % 4) + c the sum 4 j + 2 h + c. Source: PTX ISA, "Register fragments for wgmma.mma_async.m64nNk16".
__device__ __forceinline__ void multiply(float (&d)[64], uint64_t rows, uint64_t codes, int add) {
  asm volatile(
      "{\n"
      ".reg .pred add;\n"
      "setp.ne.b32 add, %66, 0;\n"
      "wgmma.mma_async.sync.aligned.m64n128k16.f32.bf16.bf16 "
      "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}, "
      "%64, %65, add, 1, 1, 0, 0;\n"
      "}\n"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), "+f"(d[8]), "+f"(d[9]),
        "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15]), "+f"(d[16]), "+f"(d[17]), "+f"(d[18]),
        "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]),
        "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31]), "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]),
        "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]),
        "+f"(d[46]), "+f"(d[47]), "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]),
        "+f"(d[55]), "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])
      : "l"(rows), "l"(codes), "r"(add));
}
__device__ __forceinline__ void multiply_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
__device__ __forceinline__ void multiply_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kLeft>
__device__ __forceinline__ void multiply_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kLeft) : "memory");
}

// The compiler may not move a use of these across: it does not know that they were still being written.
__device__ __forceinline__ void settled(float (&sums)[64]) {
  VQ_UNROLL
  for (int i = 0; i < 64; ++i) asm volatile("" : "+f"(sums[i])::"memory");
}

// Where a ring of tiles stands.
template <int kStages>
struct Turn {
  int stage = 0, parity = 0;
  __device__ __forceinline__ void next() {
    if (++stage == kStages) stage = 0, parity ^= 1;
  }
};

template <bool kResident>
__device__ __forceinline__ void copy_tiles(const ScanArrays& a, typename HopperScan<kResident>::Shared& s, int64_t tile,
                                           int64_t first, int64_t end, int parts) {
  Turn<HopperScan<kResident>::kStages> turn;
  const int row_tiles = static_cast<int>(least(kRowTiles, a.row_tiles - tile));
  if constexpr (kResident) {
    barrier_expect(&s.rows_there, row_tiles * parts * kTileBytes);
    for (int part = 0; part < parts; ++part)
      for (int i = 0; i < row_tiles; ++i) copy_tile(s.rows[part][i], a.rows + tile_at(tile + i, part, parts), &s.rows_there);
  }
  for (int64_t codes = first; codes < end; ++codes)
    for (int part = 0; part < parts; ++part, turn.next()) {
      barrier_wait(&s.empty[turn.stage], turn.parity ^ 1);  // the first round finds them empty
      barrier_expect(&s.full[turn.stage], (kResident ? 1 : 1 + row_tiles) * kTileBytes);
      copy_tile(s.codes[turn.stage], a.codes + tile_at(codes, part, parts), &s.full[turn.stage]);
      if constexpr (!kResident)
        for (int i = 0; i < row_tiles; ++i)
          copy_tile(s.rows[turn.stage][i], a.rows + tile_at(tile + i, part, parts), &s.full[turn.stage]);
    }
}

template <bool kResident>
__device__ __forceinline__ void compute(const ScanArrays& a, typename HopperScan<kResident>::Shared& s, int64_t tile, int64_t split,
                                        int64_t first, int64_t end, int parts) {
  const int group = threadIdx.x / kGroup - 1, thread = threadIdx.x % kGroup, lane = thread % 32;
  const bool here = tile + group < a.row_tiles;  // else this warpgroup multiplies what is in its memory and keeps nothing
  // Rows of this thread: 64 m + 8 h + this, of the tile.
  const int row = thread / 32 * 16 + lane / 4;
  RowBound bound[2][2];
  float least[2][2];
  VQ_UNROLL
  for (int m = 0; m < 2; ++m) {
    VQ_UNROLL
    for (int h = 0; h < 2; ++h) {
      least[m][h] = infinity();
      bound[m][h] = here ? scan_bound(a, (tile + group) * kTileRows + 64 * m + 8 * h + row) : RowBound{infinity() - infinity(), 0};
    }
  }
  if constexpr (kResident) barrier_wait(&s.rows_there, 0);
  Turn<HopperScan<kResident>::kStages> turn;
  float sum[2][64];
  for (int64_t codes = first; codes < end; ++codes) {
    float2 bias[16];
    VQ_UNROLL
    for (int j = 0; j < 16; ++j) bias[j] = *reinterpret_cast<const float2*>(a.bias + codes * kTileRows + 8 * j + lane % 4 * 2);
    const CodeBound code = a.bounds[codes];
    int before = 0;
    for (int part = 0; part < parts; ++part) {
      barrier_wait(&s.full[turn.stage], turn.parity);
      const uint64_t theirs = descriptor(s.codes[turn.stage]), mine = descriptor(s.rows[kResident ? part : turn.stage][group]);
      multiply_fence();
      VQ_UNROLL
      for (int slice = 0; slice < kTileDepth / 16; ++slice) {
        const int add = part > 0 || slice > 0;  // 16 elements are 32 bytes, 64 rows 8 KB
        multiply(sum[0], mine + 2 * slice, theirs + 2 * slice, add);
        multiply(sum[1], mine + (kTileBytes / 2 >> 4) + 2 * slice, theirs + 2 * slice, add);
      }
      multiply_commit();
      if (part > 0) {
        multiply_wait<1>();
        if (lane == 0) barrier_arrive(&s.empty[before]);
      }
      before = turn.stage;
      turn.next();
    }
    multiply_wait<0>();
    settled(sum[0]), settled(sum[1]);
    if (lane == 0) barrier_arrive(&s.empty[before]);

    VQ_UNROLL
    for (int m = 0; m < 2; ++m) {
      VQ_UNROLL
      for (int h = 0; h < 2; ++h) {
        float low = infinity();
        VQ_UNROLL
        for (int j = 0; j < 16; ++j) {
          low = smaller(bias[j].x - sum[m][4 * j + 2 * h], low);
          low = smaller(bias[j].y - sum[m][4 * j + 2 * h + 1], low);
        }
        const float mine = low, room = room_of(bound[m][h], code);
        low = smaller(low, __shfl_xor_sync(0xffffffffu, low, 1));
        low = smaller(low, __shfl_xor_sync(0xffffffffu, low, 2));
        least[m][h] = smaller(low + room, least[m][h]);
        if (!(mine - room <= least[m][h])) continue;
        const int at = group * kTileRows + 64 * m + 8 * h + row;
        Candidate* list = a.listed + ((tile * kTileRows + at) * a.splits + split) * kListed;
        VQ_UNROLL
        for (int j = 0; j < 16; ++j) {
          VQ_UNROLL
          for (int c = 0; c < 2; ++c) {
            const float l = (c ? bias[j].y : bias[j].x) - sum[m][4 * j + 2 * h + c] - room;
            if (!(l <= least[m][h])) continue;
            const int place = take_place(&s.count[at]);
            if (place < kListed) list[place] = {l, static_cast<int32_t>(codes * kTileRows + 8 * j + lane % 4 * 2 + c)};
          }
        }
      }
    }
    __syncwarp();  // the next products want the warp together
  }
  __syncwarp();  // a row's count is of its warp
  if (!here || lane % 4 != 0) return;
  VQ_UNROLL
  for (int m = 0; m < 2; ++m) {
    VQ_UNROLL
    for (int h = 0; h < 2; ++h) {
      const int at = group * kTileRows + 64 * m + 8 * h + row;
      const int64_t to = (tile * kTileRows + at) * a.splits + split;
      a.counts[to] = s.count[at], a.least[to] = rank_of(least[m][h]);
    }
  }
}
#endif  // sm_90a

}  // namespace

template <bool kResident>
__global__ void __launch_bounds__(kThreads, 1) hopper_scan(const __grid_constant__ ScanArrays a) {
#ifdef VQ_HOPPER
  using Shared = typename HopperScan<kResident>::Shared;
  extern __shared__ __align__(1024) unsigned char room[];
  Shared& s = *reinterpret_cast<Shared*>(room);
  const int64_t pairs = ceil_div(a.row_tiles, kRowTiles), tile = blockIdx.x % pairs * kRowTiles, split = blockIdx.x / pairs;
  const int64_t first = split_begin(a, split), end = split_begin(a, split + 1);
  const int parts = static_cast<int>(parts_of(a.dim));
  if (threadIdx.x == 0) {
    for (int i = 0; i < HopperScan<kResident>::kStages; ++i) {
      barrier_init(&s.full[i], 1);
      barrier_init(&s.empty[i], 2 * kGroup / 32);
    }
    barrier_init(&s.rows_there, 1);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  }
  for (int i = threadIdx.x; i < kRowTiles * kTileRows; i += kThreads) s.count[i] = 0;
  __syncthreads();
  if (threadIdx.x < kGroup) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kCopyRegisters));
    if (threadIdx.x == 0) copy_tiles<kResident>(a, s, tile, first, end, parts);
  } else {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kComputeRegisters));
    compute<kResident>(a, s, tile, split, first, end, parts);
  }
#endif
}

namespace {

template <bool kResident>
void launch(const ScanArrays& a, cudaStream_t stream) {
  constexpr size_t shared = sizeof(typename HopperScan<kResident>::Shared);
  const int64_t blocks = ceil_div(a.row_tiles, kRowTiles) * a.splits;
  if (blocks <= 0) return;
  check_cuda(cudaFuncSetAttribute(hopper_scan<kResident>, cudaFuncAttributeMaxDynamicSharedMemorySize, shared),
             "asking for shared memory");
  hopper_scan<kResident><<<static_cast<unsigned>(blocks), kThreads, shared, stream>>>(a);
  check_cuda(cudaGetLastError(), "starting a kernel");
}

void launch_hopper(const ScanArrays& a, cudaStream_t stream) {
  if (parts_of(a.dim) <= HopperScan<true>::kMostParts) launch<true>(a, stream);
  else launch<false>(a, stream);
}

}  // namespace

void CudaMachine::scan(const ScanArrays& a, bool plain) {
  if (!plain && scan_ == VQ_SCAN_WGMMA) launch_hopper(a, stream_);
  else launch(FilterScan{a});
}

// Before wgmma is relied on, it is compared with mma on this device: rows that stay, rows that pass through.
void CudaMachine::prepare_scan() {
  if (scan_ != VQ_SCAN_UNKNOWN) return;
  int32_t found = VQ_SCAN_MMA;
  if (major_ == 9) {
    const auto hopper = [&](const ScanArrays& a) { launch_hopper(a, stream_); };
    const auto plain = [&](const ScanArrays& a) { launch(FilterScan{a}); };
    found = scans_agree(*this, 200, plain, hopper) && scans_agree(*this, 333, plain, hopper) ? VQ_SCAN_WGMMA : VQ_SCAN_REFUSED;
  }
  scan_ = found;
  note_scan(device_, found);
}

}  // namespace vq::gpu
