// Formats without kernels of their own: a plain function decodes a block to float32, in loops that compilers vectorise.
// Kernels have it decode a few blocks into the first-level cache, and take them from there as they take float32
// weights.
#pragma once

#include <cstring>

#include "../format.h"
#include "../half.h"
#include "../isa.h"

namespace golgi::GOLGI_ISA {

/// The largest block of any format.
constexpr int64_t max_block = 256;

struct Blocks {
  int64_t block, block_bytes;
  /// Values are those of the decoders in src/tensor/formats, to the bit.
  void (*decode)(const uint8_t* from, int64_t n_blocks, float* to);

  int64_t bytes(int64_t n) const { return n / block * block_bytes; }

  float element(const uint8_t* row, int64_t i) const {
    float decoded[max_block];
    decode(row + bytes(i), 1, decoded);
    return decoded[i % block];
  }
};

template <class F>
void decode_blocks(const uint8_t* from, int64_t n_blocks, float* to) {
  constexpr FormatInfo info = info_of(F::format);
  for (int64_t i = 0; i < n_blocks; i++) F::decode(from + i * info.block_bytes, to + i * info.block);
}

/// Of a struct with its Format and a function that decodes one block.
template <class F>
constexpr Blocks blocks() {
  constexpr FormatInfo info = info_of(F::format);
  static_assert(max_block % info.block == 0);
  return {info.block, info.block_bytes, &decode_blocks<F>};
}

/// The binary16 at any address.
inline float f16_at(const uint8_t* from) {
  uint16_t half;
  std::memcpy(&half, from, sizeof half);
  return f16_to_f32(half);
}

}  // namespace golgi::GOLGI_ISA
