// The 6-bit scales and minimums of Q4_K and Q5_K, 8 of each in 12 bytes; see src/tensor/formats/k-scales.ts.
#pragma once

#include <cstdint>

namespace golgi::GOLGI_ISA {

inline float group_scale(const uint8_t* scales, int group) {
  const int scale = group < 4 ? scales[group] & 63 : (scales[group + 4] & 15) | scales[group - 4] >> 6 << 4;
  return static_cast<float>(scale);
}

inline float group_minimum(const uint8_t* scales, int group) {
  const int minimum = group < 4 ? scales[group + 4] & 63 : scales[group + 4] >> 4 | scales[group] >> 6 << 4;
  return static_cast<float>(minimum);
}

}  // namespace golgi::GOLGI_ISA
