// Rows as the tensor cores read them: rounded to bfloat16 and stored in tiles of 128 rows x 64 elements, one after another,
// so that a tile is one piece of 16 KB. Inside, each row's 128 bytes are eight chunks of 16, chunk c of row r at c ^ (r & 7):
// eight rows of one chunk then lie in all 32 banks, as ldmatrix wants them, and it is wgmma's 128-byte swizzle, whose atom is
// 8 rows x 128 bytes. Source: PTX ISA, "Strides" and "Swizzling modes" of the asynchronous warpgroup matrix instructions.
#pragma once
#include "cuda/contract.h"

namespace vq::gpu {

constexpr int kTileRows = 128, kTileDepth = 64, kChunk = 8;
constexpr int kTileElements = kTileRows * kTileDepth, kTileBytes = 2 * kTileElements;

VQ_HD int64_t tiles_of(int64_t rows) { return ceil_div(rows, kTileRows); }
VQ_HD int64_t parts_of(int64_t dim) { return ceil_div(dim, kTileDepth); }
// Where an element of a tile lies, in elements.
VQ_HD int in_tile(int row, int depth) {
  return row * kTileDepth + (((depth / kChunk) ^ (row & 7)) * kChunk) + depth % kChunk;
}
// Where a tile of a matrix of `parts` tiles across lies, in elements.
VQ_HD int64_t tile_at(int64_t tile, int64_t part, int64_t parts) { return (tile * parts + part) * kTileElements; }

// Codes are dealt to the tiles like cards, so that every tile is a sample of the whole codebook: the first one tells nearly
// how small the best score is, even of a codebook that is sorted. Code of a position; k or more where there is none.
VQ_HD int64_t code_at(int64_t position, int64_t tiles) { return position % kTileRows * tiles + position / kTileRows; }

// To nearest, ties to even; what is beyond the largest becomes infinite. Of a NaN anything may come.
VQ_HD uint16_t to_bf16(float v) {
  const uint32_t b = static_cast<uint32_t>(bits_of(v));
  return static_cast<uint16_t>((b + 0x7fffu + ((b >> 16) & 1u)) >> 16);
}
VQ_HD float of_bf16(uint16_t v) { return float_of(static_cast<int32_t>(static_cast<uint32_t>(v) << 16)); }

struct alignas(16) Chunk {
  uint16_t at[kChunk];
};

}  // namespace vq::gpu
