// Floats as plain loops, for compilers to vectorise with whatever the baseline has; see simd.h.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "half.h"

namespace golgi::GOLGI_ISA {

struct Floats {
  static constexpr int64_t lanes = 4;
  // Half of what the baseline has: compilers keep few small arrays in registers.
  static constexpr int registers = 8;
  float v[lanes];

  static Floats zero() { return {}; }
  static Floats all(float s) { return {{s, s, s, s}}; }
  static Floats load(const float* p) {
    Floats x;
    std::memcpy(x.v, p, sizeof x.v);
    return x;
  }
  static Floats load(const float* p, int64_t n) {
    Floats x{};
    std::memcpy(x.v, p, static_cast<size_t>(n) * sizeof *p);
    return x;
  }
  void store(float* p) const { std::memcpy(p, v, sizeof v); }
  void store(float* p, int64_t n) const { std::memcpy(p, v, static_cast<size_t>(n) * sizeof *p); }
};

/// One lane at a time: f(lane) for each.
template <class F>
inline Floats lanewise(const F& f) {
  Floats out;
  for (int64_t i = 0; i < Floats::lanes; i++) out.v[i] = f(i);
  return out;
}
template <class F>
inline Floats lanewise(int64_t n, const F& f) {
  Floats out{};
  for (int64_t i = 0; i < n; i++) out.v[i] = f(i);
  return out;
}

/// memcpy, because weights in a file may lie at odd addresses.
inline uint16_t half_at(const uint16_t* p, int64_t i) {
  uint16_t half;
  std::memcpy(&half, reinterpret_cast<const uint8_t*>(p) + 2 * i, sizeof half);
  return half;
}
inline Floats load_f16(const uint16_t* p) {
  return lanewise([&](int64_t i) { return f16_to_f32(half_at(p, i)); });
}
inline Floats load_f16(const uint16_t* p, int64_t n) {
  return lanewise(n, [&](int64_t i) { return f16_to_f32(half_at(p, i)); });
}
inline Floats load_bf16(const uint16_t* p) {
  return lanewise([&](int64_t i) { return bf16_to_f32(half_at(p, i)); });
}
inline Floats load_bf16(const uint16_t* p, int64_t n) {
  return lanewise(n, [&](int64_t i) { return bf16_to_f32(half_at(p, i)); });
}
inline Floats load_i8(const int8_t* p) {
  return lanewise([&](int64_t i) { return float(p[i]); });
}
inline Floats load_i8(const int8_t* p, int64_t n) {
  return lanewise(n, [&](int64_t i) { return float(p[i]); });
}
inline void look_up_halves(const uint8_t* p, const int8_t (&table)[16], Floats (&to)[8]) {
  for (int64_t v = 0; v < 4; v++, p += 4) {
    to[v] = lanewise([&](int64_t i) { return float(table[p[i] & 15]); });
    to[4 + v] = lanewise([&](int64_t i) { return float(table[p[i] >> 4]); });
  }
}
inline void look_up_pairs(const uint8_t* p, const int8_t (&table)[16], Floats (&to)[8]) {
  for (int64_t v = 0; v < 8; v++, p += 2) {
    to[v] = lanewise([&](int64_t i) { return float(table[p[i / 2] >> 4 * (i % 2) & 15]); });
  }
}

inline Floats all_f16(uint16_t h) { return Floats::all(f16_to_f32(h)); }

inline void store_f16(Floats x, uint16_t* p, int64_t n = Floats::lanes) {
  for (int64_t i = 0; i < n; i++) p[i] = f32_to_f16(x.v[i]);
}

inline Floats operator+(Floats a, Floats b) {
  return lanewise([&](int64_t i) { return a.v[i] + b.v[i]; });
}
inline Floats operator-(Floats a, Floats b) {
  return lanewise([&](int64_t i) { return a.v[i] - b.v[i]; });
}
inline Floats operator*(Floats a, Floats b) {
  return lanewise([&](int64_t i) { return a.v[i] * b.v[i]; });
}
inline Floats operator/(Floats a, Floats b) {
  return lanewise([&](int64_t i) { return a.v[i] / b.v[i]; });
}
inline Floats operator-(Floats a) {
  return lanewise([&](int64_t i) { return -a.v[i]; });
}
inline Floats fma(Floats a, Floats b, Floats c) {
  return lanewise([&](int64_t i) { return a.v[i] * b.v[i] + c.v[i]; });
}
inline Floats min(Floats a, Floats b) {
  return lanewise([&](int64_t i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Floats max(Floats a, Floats b) {
  return lanewise([&](int64_t i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Floats abs(Floats a) {
  return lanewise([&](int64_t i) { return std::fabs(a.v[i]); });
}
inline Floats sqrt(Floats a) {
  return lanewise([&](int64_t i) { return std::sqrt(a.v[i]); });
}
inline Floats select_less(Floats a, Floats b, Floats x, Floats y) {
  return lanewise([&](int64_t i) { return a.v[i] < b.v[i] ? x.v[i] : y.v[i]; });
}
inline Floats copy_sign(Floats a, Floats b) {
  return lanewise([&](int64_t i) { return std::copysign(a.v[i], b.v[i]); });
}
/// Of |a| < 2^22: at 1.5·2^23 and above, the unit of float32 is 1.
inline Floats round(Floats a) {
  return lanewise([&](int64_t i) { return (a.v[i] + 0x1.8p23f) - 0x1.8p23f; });
}

/// In two factors, since 2^n itself may lie outside float32 where a·2^n does not.
inline Floats times_power_of_two(Floats a, Floats n) {
  return lanewise([&](int64_t i) {
    // A NaN is not an integer; it passes through a.
    const int32_t whole = n.v[i] == n.v[i] ? static_cast<int32_t>(n.v[i]) : 0;
    const int32_t first = whole >> 1;
    const float x = std::bit_cast<float>((first + 127) << 23);
    const float y = std::bit_cast<float>((whole - first + 127) << 23);
    return a.v[i] * x * y;
  });
}

inline float sum(Floats a) { return (a.v[0] + a.v[2]) + (a.v[1] + a.v[3]); }
inline float max_lane(Floats a) {
  float largest = a.v[0];
  for (int64_t i = 1; i < Floats::lanes; i++) largest = a.v[i] > largest ? a.v[i] : largest;
  return largest;
}

inline void transpose(Floats (&rows)[Floats::lanes]) {
  for (int64_t i = 0; i < Floats::lanes; i++) {
    for (int64_t j = 0; j < i; j++) {
      const float lower = rows[i].v[j];
      rows[i].v[j] = rows[j].v[i];
      rows[j].v[i] = lower;
    }
  }
}

}  // namespace golgi::GOLGI_ISA
