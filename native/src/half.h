// Two-byte floats, one at a time: exact to float32, and back rounded to nearest, ties to even.
//
// Functions are static because each translation unit may be compiled for another ISA: a copy shared by the linker
// could contain instructions that this CPU lacks.
#pragma once

#include <bit>
#include <cstdint>

namespace golgi {

/// IEEE 754 binary16 to float32.
static inline float f16_to_f32(uint16_t h) {
  const uint32_t sign = uint32_t(h & 0x8000) << 16;
  const uint32_t magnitude = uint32_t(h & 0x7fff) << 13;
  // Exponent and mantissa in their float32 places are 2^-112 times the value; infinities and NaN need all exponent bits.
  const float value = std::bit_cast<float>(magnitude) * 0x1p112f;
  const uint32_t special = magnitude >= 0x0f800000 ? 0x7f800000 : 0;
  return std::bit_cast<float>(sign | special | std::bit_cast<uint32_t>(value));
}

/// float32 to IEEE 754 binary16; beyond 65504 (after rounding) is infinity, NaN stays NaN.
static inline uint16_t f32_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = uint16_t((bits >> 16) & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return uint16_t(sign | 0x7e00 | ((magnitude >> 13) & 0x3ff));
  if (magnitude >= 0x47800000) return uint16_t(sign | 0x7c00);
  if (magnitude < 0x38800000) {
    // Adding 0.5 leaves the value, in units of the smallest binary16 (2^-24), rounded in the low bits of the sum.
    const float sum = std::bit_cast<float>(magnitude) + 0.5f;
    return uint16_t(sign | (std::bit_cast<uint32_t>(sum) - 0x3f000000));
  }
  const uint32_t odd = (magnitude >> 13) & 1;
  return uint16_t(sign | ((magnitude + 0xfff + odd - 0x38000000) >> 13));
}

/// bfloat16, the upper half of a float32, to float32.
static inline float bf16_to_f32(uint16_t h) { return std::bit_cast<float>(uint32_t(h) << 16); }

/// float32 to bfloat16; NaN stays NaN.
static inline uint16_t f32_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffff) > 0x7f800000) return uint16_t((bits >> 16) | 0x40);
  return uint16_t((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

}  // namespace golgi
