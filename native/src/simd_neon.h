// Floats over arm64 NEON; see simd.h.
#pragma once

#include <arm_neon.h>

#include <cstdint>
#include <cstring>

namespace golgi::GOLGI_ISA {

struct Floats {
  static constexpr int64_t lanes = 4;
  static constexpr int registers = 32;
  float32x4_t v;

  static Floats zero() { return {vdupq_n_f32(0)}; }
  static Floats all(float s) { return {vdupq_n_f32(s)}; }
  static Floats load(const float* p) { return {vld1q_f32(p)}; }
  static Floats load(const float* p, int64_t n) {
    float part[4] = {};
    std::memcpy(part, p, static_cast<size_t>(n) * sizeof *p);
    return load(part);
  }
  void store(float* p) const { vst1q_f32(p, v); }
  void store(float* p, int64_t n) const {
    float part[4];
    store(part);
    std::memcpy(p, part, static_cast<size_t>(n) * sizeof *p);
  }
};

inline Floats load_f16(const uint16_t* p) { return {vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p)))}; }
inline Floats load_f16(const uint16_t* p, int64_t n) {
  uint16_t part[4] = {};
  std::memcpy(part, p, static_cast<size_t>(n) * sizeof *p);
  return load_f16(part);
}

inline Floats load_bf16(const uint16_t* p) { return {vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p), 16))}; }
inline Floats load_bf16(const uint16_t* p, int64_t n) {
  uint16_t part[4] = {};
  std::memcpy(part, p, static_cast<size_t>(n) * sizeof *p);
  return load_bf16(part);
}

inline Floats load_i8(const int8_t* p) {
  int32_t four;
  std::memcpy(&four, p, sizeof four);
  const int8x8_t bytes = vreinterpret_s8_s32(vdup_n_s32(four));
  return {vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(bytes))))};
}
inline Floats load_i8(const int8_t* p, int64_t n) {
  int8_t part[4] = {};
  std::memcpy(part, p, static_cast<size_t>(n));
  return load_i8(part);
}

/// The numbers of 16 pairs' low and high halves.
struct PairNumbers {
  int8x16_t low, high;

  PairNumbers(const uint8_t* p, const int8_t (&table)[16]) {
    const uint8x16_t pairs = vld1q_u8(p);
    const int8x16_t numbers = vld1q_s8(table);
    low = vqtbl1q_s8(numbers, vandq_u8(pairs, vdupq_n_u8(15)));
    high = vqtbl1q_s8(numbers, vshrq_n_u8(pairs, 4));
  }
};

inline void widen_i8(int8x16_t bytes, Floats* to) {
  const int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_s8(vget_high_s8(bytes));
  to[0].v = vcvtq_f32_s32(vmovl_s16(vget_low_s16(low)));
  to[1].v = vcvtq_f32_s32(vmovl_s16(vget_high_s16(low)));
  to[2].v = vcvtq_f32_s32(vmovl_s16(vget_low_s16(high)));
  to[3].v = vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)));
}
inline void look_up_halves(const uint8_t* p, const int8_t (&table)[16], Floats (&to)[8]) {
  const PairNumbers numbers(p, table);
  widen_i8(numbers.low, to);
  widen_i8(numbers.high, to + 4);
}
inline void look_up_pairs(const uint8_t* p, const int8_t (&table)[16], Floats (&to)[8]) {
  const PairNumbers numbers(p, table);
  widen_i8(vzip1q_s8(numbers.low, numbers.high), to);
  widen_i8(vzip2q_s8(numbers.low, numbers.high), to + 4);
}

inline Floats all_f16(uint16_t h) { return {vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(h)))}; }

inline void store_f16(Floats x, uint16_t* p) { vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(x.v))); }
inline void store_f16(Floats x, uint16_t* p, int64_t n) {
  uint16_t part[4];
  store_f16(x, part);
  std::memcpy(p, part, static_cast<size_t>(n) * sizeof *p);
}

inline Floats operator+(Floats a, Floats b) { return {vaddq_f32(a.v, b.v)}; }
inline Floats operator-(Floats a, Floats b) { return {vsubq_f32(a.v, b.v)}; }
inline Floats operator*(Floats a, Floats b) { return {vmulq_f32(a.v, b.v)}; }
inline Floats operator/(Floats a, Floats b) { return {vdivq_f32(a.v, b.v)}; }
inline Floats operator-(Floats a) { return {vnegq_f32(a.v)}; }
inline Floats fma(Floats a, Floats b, Floats c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
inline Floats min(Floats a, Floats b) { return {vminq_f32(a.v, b.v)}; }
inline Floats max(Floats a, Floats b) { return {vmaxq_f32(a.v, b.v)}; }
inline Floats abs(Floats a) { return {vabsq_f32(a.v)}; }
inline Floats sqrt(Floats a) { return {vsqrtq_f32(a.v)}; }
inline Floats select_less(Floats a, Floats b, Floats x, Floats y) { return {vbslq_f32(vcltq_f32(a.v, b.v), x.v, y.v)}; }
inline Floats copy_sign(Floats a, Floats b) { return {vbslq_f32(vdupq_n_u32(0x80000000u), b.v, a.v)}; }
inline Floats round(Floats a) { return {vrndnq_f32(a.v)}; }

/// In two factors, since 2^n itself may lie outside float32 where a·2^n does not.
inline Floats times_power_of_two(Floats a, Floats n) {
  const int32x4_t whole = vcvtq_s32_f32(n.v);
  const int32x4_t first = vshrq_n_s32(whole, 1);
  const int32x4_t second = vsubq_s32(whole, first);
  const int32x4_t bias = vdupq_n_s32(127);
  const float32x4_t x = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(first, bias), 23));
  const float32x4_t y = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(second, bias), 23));
  return {vmulq_f32(vmulq_f32(a.v, x), y)};
}

inline float sum(Floats a) {
  const float32x2_t two = vadd_f32(vget_low_f32(a.v), vget_high_f32(a.v));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
inline float max_lane(Floats a) { return vmaxvq_f32(a.v); }

inline void transpose(Floats (&rows)[4]) {
  const float32x4x2_t a = vtrnq_f32(rows[0].v, rows[1].v);
  const float32x4x2_t b = vtrnq_f32(rows[2].v, rows[3].v);
  rows[0].v = vcombine_f32(vget_low_f32(a.val[0]), vget_low_f32(b.val[0]));
  rows[1].v = vcombine_f32(vget_low_f32(a.val[1]), vget_low_f32(b.val[1]));
  rows[2].v = vcombine_f32(vget_high_f32(a.val[0]), vget_high_f32(b.val[0]));
  rows[3].v = vcombine_f32(vget_high_f32(a.val[1]), vget_high_f32(b.val[1]));
}

}  // namespace golgi::GOLGI_ISA
