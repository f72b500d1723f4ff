// Floats over AVX2, FMA and F16C; see simd.h.
#pragma once

#include <immintrin.h>

#include <cstdint>
#include <cstring>

namespace golgi::GOLGI_ISA {

inline __m256i first_lanes(int64_t n) {
  const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int32_t>(n)), lane);
}

struct Floats {
  static constexpr int64_t lanes = 8;
  static constexpr int registers = 16;
  __m256 v;

  static Floats zero() { return {_mm256_setzero_ps()}; }
  static Floats all(float s) { return {_mm256_set1_ps(s)}; }
  static Floats load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static Floats load(const float* p, int64_t n) { return {_mm256_maskload_ps(p, first_lanes(n))}; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  void store(float* p, int64_t n) const { _mm256_maskstore_ps(p, first_lanes(n), v); }
};

inline Floats load_f16(const uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
inline Floats load_f16(const uint16_t* p, int64_t n) {
  uint16_t part[8] = {};
  std::memcpy(part, p, static_cast<size_t>(n) * sizeof *p);
  return load_f16(part);
}

inline Floats load_bf16(const uint16_t* p) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(wide, 16))};
}
inline Floats load_bf16(const uint16_t* p, int64_t n) {
  uint16_t part[8] = {};
  std::memcpy(part, p, static_cast<size_t>(n) * sizeof *p);
  return load_bf16(part);
}

inline Floats load_i8(const int8_t* p) {
  return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))))};
}
inline Floats load_i8(const int8_t* p, int64_t n) {
  int8_t part[8] = {};
  std::memcpy(part, p, static_cast<size_t>(n));
  return load_i8(part);
}

/// The numbers of 16 pairs' low and high halves.
struct PairNumbers {
  __m128i low, high;

  PairNumbers(const uint8_t* p, const int8_t (&table)[16]) {
    const __m128i pairs = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i numbers = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    const __m128i half = _mm_set1_epi8(15);
    low = _mm_shuffle_epi8(numbers, _mm_and_si128(pairs, half));
    high = _mm_shuffle_epi8(numbers, _mm_and_si128(_mm_srli_epi16(pairs, 4), half));
  }
};

inline Floats widen_i8(__m128i bytes) { return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes))}; }
inline void widen_i8(__m128i first, __m128i second, Floats (&to)[4]) {
  to[0] = widen_i8(first);
  to[1] = widen_i8(_mm_unpackhi_epi64(first, first));
  to[2] = widen_i8(second);
  to[3] = widen_i8(_mm_unpackhi_epi64(second, second));
}
inline void look_up_halves(const uint8_t* p, const int8_t (&table)[16], Floats (&to)[32 / Floats::lanes]) {
  const PairNumbers numbers(p, table);
  widen_i8(numbers.low, numbers.high, to);
}
inline void look_up_pairs(const uint8_t* p, const int8_t (&table)[16], Floats (&to)[32 / Floats::lanes]) {
  const PairNumbers numbers(p, table);
  widen_i8(_mm_unpacklo_epi8(numbers.low, numbers.high), _mm_unpackhi_epi8(numbers.low, numbers.high), to);
}

inline Floats all_f16(uint16_t h) { return {_mm256_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(h)))}; }

inline void store_f16(Floats x, uint16_t* p) {
  const __m128i half = _mm256_cvtps_ph(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), half);
}
inline void store_f16(Floats x, uint16_t* p, int64_t n) {
  uint16_t part[8];
  store_f16(x, part);
  std::memcpy(p, part, static_cast<size_t>(n) * sizeof *p);
}

inline Floats operator+(Floats a, Floats b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Floats operator-(Floats a, Floats b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Floats operator*(Floats a, Floats b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Floats operator/(Floats a, Floats b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Floats operator-(Floats a) { return {_mm256_xor_ps(a.v, _mm256_set1_ps(-0.0f))}; }
inline Floats fma(Floats a, Floats b, Floats c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Floats min(Floats a, Floats b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Floats max(Floats a, Floats b) { return {_mm256_max_ps(a.v, b.v)}; }
inline Floats abs(Floats a) { return {_mm256_andnot_ps(_mm256_set1_ps(-0.0f), a.v)}; }
inline Floats sqrt(Floats a) { return {_mm256_sqrt_ps(a.v)}; }
inline Floats select_less(Floats a, Floats b, Floats x, Floats y) {
  return {_mm256_blendv_ps(y.v, x.v, _mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ))};
}
inline Floats copy_sign(Floats a, Floats b) {
  return {_mm256_or_ps(abs(a).v, _mm256_and_ps(_mm256_set1_ps(-0.0f), b.v))};
}
inline Floats round(Floats a) { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }

/// In two factors, since 2^n itself may lie outside float32 where a·2^n does not.
inline Floats times_power_of_two(Floats a, Floats n) {
  const __m256i whole = _mm256_cvtps_epi32(n.v);
  const __m256i first = _mm256_srai_epi32(whole, 1);
  const __m256i second = _mm256_sub_epi32(whole, first);
  const __m256i bias = _mm256_set1_epi32(127);
  const __m256 x = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(first, bias), 23));
  const __m256 y = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(second, bias), 23));
  return {_mm256_mul_ps(_mm256_mul_ps(a.v, x), y)};
}

inline float sum(Floats a) {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float max_lane(Floats a) {
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/// 4x4 blocks within groups of four rows, then whole 128-bit halves between the groups.
inline void transpose(Floats (&rows)[8]) {
  __m256 quad[8];
  for (int g = 0; g < 8; g += 4) {
    const __m256 low01 = _mm256_unpacklo_ps(rows[g].v, rows[g + 1].v);
    const __m256 high01 = _mm256_unpackhi_ps(rows[g].v, rows[g + 1].v);
    const __m256 low23 = _mm256_unpacklo_ps(rows[g + 2].v, rows[g + 3].v);
    const __m256 high23 = _mm256_unpackhi_ps(rows[g + 2].v, rows[g + 3].v);
    quad[g] = _mm256_shuffle_ps(low01, low23, 0x44);
    quad[g + 1] = _mm256_shuffle_ps(low01, low23, 0xee);
    quad[g + 2] = _mm256_shuffle_ps(high01, high23, 0x44);
    quad[g + 3] = _mm256_shuffle_ps(high01, high23, 0xee);
  }
  for (int i = 0; i < 4; i++) {
    rows[i].v = _mm256_permute2f128_ps(quad[i], quad[4 + i], 0x20);
    rows[4 + i].v = _mm256_permute2f128_ps(quad[i], quad[4 + i], 0x31);
  }
}

}  // namespace golgi::GOLGI_ISA
