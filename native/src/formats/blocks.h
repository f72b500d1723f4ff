// Formats without kernels of their own: a plain function decodes a block to float32, in loops that compilers vectorise.
// Kernels have it decode a piece of a row into the first-level cache, and take it from there as they take float32
// weights.
#pragma once

#include <algorithm>
#include <cstring>

#include "../format.h"
#include "../half.h"
#include "../isa.h"
#include "../kernel.h"

namespace golgi::GOLGI_ISA {

/// The largest block of any format.
constexpr int64_t max_block = 256;

struct Blocks {
  int64_t block, block_bytes;
  /// Elements [begin, begin + n) of a row, of which `begin` begins a block; `to` has room for whole blocks. Values are those
  /// of the decoders in src/tensor/formats, to the bit.
  void (*decode)(const StoredRow& row, int64_t begin, int64_t n, float* to);

  int64_t bytes(int64_t n) const { return n / block * block_bytes; }

  float element(const StoredRow& row, int64_t i) const {
    float decoded[max_block];
    const int64_t within = i % block;
    decode(row, i - within, within + 1, decoded);
    return decoded[within];
  }
};

template <class F>
void decode_blocks(const StoredRow& row, int64_t begin, int64_t n, float* to) {
  constexpr FormatInfo info = info_of(F::format);
  const uint8_t* from = row.data + begin / info.block * info.block_bytes;
  for (int64_t i = 0; i < n; i += info.block, from += info.block_bytes) F::decode(from, to + i);
}

/// Of a struct with its Format and a function that decodes one block.
template <class F>
constexpr Blocks blocks() {
  constexpr FormatInfo info = info_of(F::format);
  static_assert(max_block % info.block == 0);
  return {info.block, info.block_bytes, &decode_blocks<F>};
}

template <class F>
void decode_scaled(const StoredRow& row, int64_t begin, int64_t n, float* to) {
  constexpr FormatInfo info = info_of(F::format);
  const int64_t end = begin + n;
  for (int64_t i = begin; i < end;) {
    const int64_t scale = i / info.scale_block;
    const int64_t stop = std::min(end, (scale + 1) * info.scale_block);
    const uint8_t* from = row.data + i / info.block * info.block_bytes;
    F::decode(from, row.scales + scale * info.scale_bytes, stop - i, to + (i - begin));
    i = stop;
  }
}

/// Of a struct with its Format, which keeps scales apart, and a function that decodes elements that share one.
template <class F>
constexpr Blocks scaled_blocks() {
  constexpr FormatInfo info = info_of(F::format);
  static_assert(info.scale_block % info.block == 0);
  return {info.block, info.block_bytes, &decode_scaled<F>};
}

/// The bits of the binary16 at any address.
inline uint16_t f16_bits_at(const uint8_t* from) {
  uint16_t half;
  std::memcpy(&half, from, sizeof half);
  return half;
}
inline float f16_at(const uint8_t* from) { return f16_to_f32(f16_bits_at(from)); }

}  // namespace golgi::GOLGI_ISA
