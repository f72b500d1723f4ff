// The 6-bit scales and minimums of Q4_K and Q5_K, 8 of each in 12 bytes; see src/tensor/formats/k-scales.ts.
#pragma once

#include <cstdint>
#include <cstring>

#include "blocks.h"

namespace golgi::GOLGI_ISA {

/// Of a block that begins with the binary16 that its scales count in, that of its minimums, and the 12 bytes.
struct GroupScales {
  Floats block_scale, block_minimum;
  float ints[16];  ///< 8 scales and 8 minimums

  Floats scale(int64_t group) const { return block_scale * Floats::all(ints[group]); }
  Floats minimum(int64_t group) const { return block_minimum * Floats::all(ints[8 + group]); }

  static uint32_t word(const uint8_t* from) {
    uint32_t bytes;
    std::memcpy(&bytes, from, sizeof bytes);
    return bytes;
  }

  explicit GroupScales(const uint8_t* from)
      : block_scale(all_f16(f16_bits_at(from))), block_minimum(all_f16(f16_bits_at(from + 2))) {
    // Four bytes at a time: the low 6 bits of bytes 0 to 7 are scales and minimums 0 to 3; the others have their low 4
    // bits in bytes 8 to 11, and their high 2 above those 6.
    const uint32_t words[3] = {word(from + 4), word(from + 8), word(from + 12)};
    constexpr uint32_t low_6 = 0x3f3f3f3f, low_4 = 0x0f0f0f0f, low_2 = 0x03030303;
    const uint32_t packed[4] = {
        words[0] & low_6,
        (words[2] & low_4) | (words[0] >> 6 & low_2) << 4,
        words[1] & low_6,
        (words[2] >> 4 & low_4) | (words[1] >> 6 & low_2) << 4,
    };
    int8_t bytes[16];
    std::memcpy(bytes, packed, sizeof bytes);
    for (int64_t i = 0; i < 16; i += Floats::lanes) load_i8(bytes + i).store(ints + i);
  }
};

}  // namespace golgi::GOLGI_ISA
