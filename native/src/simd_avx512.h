// Floats over AVX-512 F, BW, VL and DQ; see simd.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
// Its own intrinsics trip these (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace golgi::GOLGI_ISA {

inline __mmask16 first_lanes(int64_t n) { return static_cast<__mmask16>((1u << n) - 1); }

struct Floats {
  static constexpr int64_t lanes = 16;
  static constexpr int registers = 32;
  __m512 v;

  static Floats zero() { return {_mm512_setzero_ps()}; }
  static Floats all(float s) { return {_mm512_set1_ps(s)}; }
  static Floats load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static Floats load(const float* p, int64_t n) { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  void store(float* p, int64_t n) const { _mm512_mask_storeu_ps(p, first_lanes(n), v); }
};

inline Floats load_f16(const uint16_t* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
inline Floats load_f16(const uint16_t* p, int64_t n) {
  return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(first_lanes(n), p))};
}

inline Floats widen_bf16(__m256i h) { return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16))}; }
inline Floats load_bf16(const uint16_t* p) {
  return widen_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline Floats load_bf16(const uint16_t* p, int64_t n) { return widen_bf16(_mm256_maskz_loadu_epi16(first_lanes(n), p)); }

inline Floats load_i8(const int8_t* p) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))))};
}
inline Floats load_i8(const int8_t* p, int64_t n) {
  return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(first_lanes(n), p)))};
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

inline Floats widen_i8(__m128i bytes) { return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(bytes))}; }
inline void widen_i8(__m128i first, __m128i second, Floats (&to)[2]) {
  to[0] = widen_i8(first);
  to[1] = widen_i8(second);
}
inline void look_up_halves(const uint8_t* p, const int8_t (&table)[16], Floats (&to)[32 / Floats::lanes]) {
  const PairNumbers numbers(p, table);
  widen_i8(numbers.low, numbers.high, to);
}
inline void look_up_pairs(const uint8_t* p, const int8_t (&table)[16], Floats (&to)[32 / Floats::lanes]) {
  const PairNumbers numbers(p, table);
  widen_i8(_mm_unpacklo_epi8(numbers.low, numbers.high), _mm_unpackhi_epi8(numbers.low, numbers.high), to);
}

inline Floats all_f16(uint16_t h) { return {_mm512_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128(h)))}; }

inline __m256i to_f16(Floats x) { return _mm512_cvtps_ph(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline void store_f16(Floats x, uint16_t* p) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), to_f16(x)); }
inline void store_f16(Floats x, uint16_t* p, int64_t n) { _mm256_mask_storeu_epi16(p, first_lanes(n), to_f16(x)); }

inline Floats operator+(Floats a, Floats b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Floats operator-(Floats a, Floats b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Floats operator*(Floats a, Floats b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Floats operator/(Floats a, Floats b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Floats operator-(Floats a) { return {_mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f))}; }
inline Floats fma(Floats a, Floats b, Floats c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Floats min(Floats a, Floats b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Floats max(Floats a, Floats b) { return {_mm512_max_ps(a.v, b.v)}; }
inline Floats abs(Floats a) { return {_mm512_abs_ps(a.v)}; }
inline Floats sqrt(Floats a) { return {_mm512_sqrt_ps(a.v)}; }
inline Floats select_less(Floats a, Floats b, Floats x, Floats y) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), y.v, x.v)};
}
inline Floats copy_sign(Floats a, Floats b) {
  const __m512 sign = _mm512_and_ps(_mm512_set1_ps(-0.0f), b.v);
  return {_mm512_or_ps(_mm512_abs_ps(a.v), sign)};
}
inline Floats round(Floats a) { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }
inline Floats times_power_of_two(Floats a, Floats n) { return {_mm512_scalef_ps(a.v, n.v)}; }

inline float sum(Floats a) {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float max_lane(Floats a) {
  const __m256 eight = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/// In four steps: 4x4 blocks within groups of four rows, then whole 128-bit quarters between the groups.
inline void transpose(Floats (&rows)[16]) {
  __m512 quad[16];
  for (int g = 0; g < 16; g += 4) {
    const __m512 low01 = _mm512_unpacklo_ps(rows[g].v, rows[g + 1].v);
    const __m512 high01 = _mm512_unpackhi_ps(rows[g].v, rows[g + 1].v);
    const __m512 low23 = _mm512_unpacklo_ps(rows[g + 2].v, rows[g + 3].v);
    const __m512 high23 = _mm512_unpackhi_ps(rows[g + 2].v, rows[g + 3].v);
    quad[g] = _mm512_shuffle_ps(low01, low23, 0x44);
    quad[g + 1] = _mm512_shuffle_ps(low01, low23, 0xee);
    quad[g + 2] = _mm512_shuffle_ps(high01, high23, 0x44);
    quad[g + 3] = _mm512_shuffle_ps(high01, high23, 0xee);
  }
  for (int i = 0; i < 4; i++) {
    const __m512 even01 = _mm512_shuffle_f32x4(quad[i], quad[4 + i], 0x88);
    const __m512 odd01 = _mm512_shuffle_f32x4(quad[i], quad[4 + i], 0xdd);
    const __m512 even23 = _mm512_shuffle_f32x4(quad[8 + i], quad[12 + i], 0x88);
    const __m512 odd23 = _mm512_shuffle_f32x4(quad[8 + i], quad[12 + i], 0xdd);
    rows[i].v = _mm512_shuffle_f32x4(even01, even23, 0x88);
    rows[4 + i].v = _mm512_shuffle_f32x4(odd01, odd23, 0x88);
    rows[8 + i].v = _mm512_shuffle_f32x4(even01, even23, 0xdd);
    rows[12 + i].v = _mm512_shuffle_f32x4(odd01, odd23, 0xdd);
  }
}

}  // namespace golgi::GOLGI_ISA
