// Rotary position embedding: cosines and sines of a row's angles, and the rotation of its heads.
#pragma once

#include <algorithm>
#include <bit>

#include "../isa.h"

namespace golgi::GOLGI_ISA {

/// Pairs whose cosines and sines are held at a time.
constexpr int64_t pairs_per_block = 64;

/// `magnitude` times cos and sin of `n` angles. In float64, since angles reach the context's length in radians, and
/// their rest after whole quarter turns would have few correct bits in float32. Plain arithmetic without branches, for
/// compilers to vectorise. As float32 can hold for |angle| < 1.6e6, the first 2^20 quarter turns.
inline void cos_sin(const float* angles, int64_t n, double magnitude, float* cos, float* sin) {
  constexpr double quarters_per_radian = 0.63661977236758134308;
  // π/2 in two parts; the first has 33 bits, so that its product with a number of quarters is exact.
  constexpr double quarter_high = 1.57079632673412561417;
  constexpr double quarter_low = 6.07710050650619224932e-11;
  // At 1.5·2^52 the unit of float64 is 1: adding it rounds to an integer, which then lies in the low bits.
  constexpr double to_integer = 0x1.8p52;
  for (int64_t i = 0; i < n; i++) {
    const double angle = angles[i];
    const double shifted = angle * quarters_per_radian + to_integer;
    const double quarters = shifted - to_integer;
    const double r = (angle - quarters * quarter_high) - quarters * quarter_low;  // |r| <= π/4
    const double r2 = r * r;
    // Taylor series to r^11 and r^12: the next terms are below 1e-11.
    double s = -1.0 / 39916800;
    s = s * r2 + 1.0 / 362880;
    s = s * r2 - 1.0 / 5040;
    s = s * r2 + 1.0 / 120;
    s = s * r2 - 1.0 / 6;
    s = s * r2 * r + r;
    double c = 1.0 / 479001600;
    c = c * r2 - 1.0 / 3628800;
    c = c * r2 + 1.0 / 40320;
    c = c * r2 - 1.0 / 720;
    c = c * r2 + 1.0 / 24;
    c = c * r2 - 1.0 / 2;
    c = c * r2 + 1.0;
    const uint64_t quarter = std::bit_cast<uint64_t>(shifted);
    const bool is_odd = quarter & 1;
    const double cos_sign = (quarter + 1) & 2 ? -magnitude : magnitude;
    const double sin_sign = quarter & 2 ? -magnitude : magnitude;
    cos[i] = static_cast<float>(cos_sign * (is_odd ? s : c));
    sin[i] = static_cast<float>(sin_sign * (is_odd ? c : s));
  }
}

/// Pairs i with i + n_r (`half`) for pairs [first, first + n) of one head.
inline void rotate_half(const float* x, float* out, int64_t n_r, int64_t first, int64_t n, const float* cos,
                        const float* sin) {
  const auto turn = [&](int64_t i, auto... count) {
    const Floats a = Floats::load(x + first + i, count...);
    const Floats b = Floats::load(x + first + i + n_r, count...);
    const Floats c = Floats::load(cos + i, count...);
    const Floats s = Floats::load(sin + i, count...);
    (a * c - b * s).store(out + first + i, count...);
    (b * c + a * s).store(out + first + i + n_r, count...);
  };
  int64_t i = 0;
  for (; i + Floats::lanes <= n; i += Floats::lanes) turn(i);
  if (i < n) turn(i, n - i);
}

/// Pairs 2i with 2i + 1 (`adjacent`) for pairs [first, first + n) of one head.
inline void rotate_adjacent(const float* x, float* out, int64_t first, int64_t n, const float* cos, const float* sin) {
  for (int64_t i = 0; i < n; i++) {
    const float* pair = x + 2 * (first + i);
    float* turned = out + 2 * (first + i);
    turned[0] = pair[0] * cos[i] - pair[1] * sin[i];
    turned[1] = pair[1] * cos[i] + pair[0] * sin[i];
  }
}

/// The frequencies [n_r] that the row's sequence uses.
inline const float* frequencies_of(const Rows& rows, int64_t row, const float* freqs, int64_t n_r) {
  return freqs + rows.rope_variant[rows.sequence[row]] * n_r;
}

/// position · frequency for n pairs of one row, rounded to float32 as the value that it stands for.
inline void angles_of(const Rows& rows, int64_t row, const float* freqs, int64_t n, float* angles) {
  const double position = rows.position[row];
  for (int64_t i = 0; i < n; i++) angles[i] = static_cast<float>(position * freqs[i]);
}

/// Rotates 2·n_r dimensions of all heads of one row, from `offset` on; the others pass. `angles_from(i, n, angles)`
/// gives the angles of n pairs from i on.
template <class Args, class Angles>
void rotate_row(const Args& a, int64_t row, const Angles& angles_from) {
  const float* x = a.x + row * a.n_H * a.n_D;
  float* out = a.out + row * a.n_H * a.n_D;
  float angles[pairs_per_block], cos[pairs_per_block], sin[pairs_per_block];
  for (int64_t first = 0; first < a.n_r; first += pairs_per_block) {
    const int64_t n = std::min(pairs_per_block, a.n_r - first);
    angles_from(first, n, angles);
    cos_sin(angles, n, a.magnitude, cos, sin);
    for (int64_t at = a.offset; at < a.n_H * a.n_D; at += a.n_D) {
      if (a.pairing == Args::Pairing::half) {
        rotate_half(x + at, out + at, a.n_r, first, n, cos, sin);
      } else {
        rotate_adjacent(x + at, out + at, first, n, cos, sin);
      }
    }
  }
  for (int64_t at = 0; at < a.n_H * a.n_D; at += a.n_D) {
    std::copy(x + at, x + at + a.offset, out + at);
    std::copy(x + at + a.offset + 2 * a.n_r, x + at + a.n_D, out + at + a.offset + 2 * a.n_r);
  }
}

}  // namespace golgi::GOLGI_ISA
