// How the elements of weights are stored.
#pragma once

#include <cstdint>

namespace golgi {

/// In the order of COMPUTE_FORMATS in src/tensor/format.ts. Each format has one file in native/src/formats/.
enum class Format : int32_t {
  f32, f16, bf16, q8_0, q4_0, q4_1, q5_0, q5_1, q2_k, q3_k, q4_k, q5_k, q6_k, iq4_nl, iq4_xs, mxfp4,
  f8_e4m3, mxfp4_split,
};

struct FormatInfo {
  const char* name;
  int64_t block;  ///< consecutive elements of a row that are stored together
  int64_t block_bytes;
  int64_t scale_block = 0;  ///< consecutive elements of a row that share a scale which lies apart; 0: none do
  int64_t scale_bytes = 0;
};

/// In the order of Format.
constexpr FormatInfo format_infos[] = {
    {"f32", 1, 4},      {"f16", 1, 2},      {"bf16", 1, 2},      {"q8_0", 32, 34},
    {"q4_0", 32, 18},   {"q4_1", 32, 20},   {"q5_0", 32, 22},    {"q5_1", 32, 24},
    {"q2_k", 256, 84},  {"q3_k", 256, 110}, {"q4_k", 256, 144},  {"q5_k", 256, 176},
    {"q6_k", 256, 210}, {"iq4_nl", 32, 18}, {"iq4_xs", 256, 136}, {"mxfp4", 32, 17},
    {"f8_e4m3", 1, 1, 128, 4}, {"mxfp4_split", 32, 16, 32, 1},
};

constexpr const FormatInfo& info_of(Format format) { return format_infos[static_cast<int32_t>(format)]; }

}  // namespace golgi
