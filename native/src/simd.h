// Vectors of float32, one class per ISA, so that a kernel is written once and compiled for each.
//
// `Floats` has `Floats::lanes` lanes (avx512 16, avx2 8, neon 4, portable 4), and a function may count on keeping
// `Floats::registers` of them at hand (32, 16, 32, 8):
//
//   Floats::zero()  Floats::all(s)                     every lane 0 / s
//   Floats::load(p)  x.store(p)                        lanes floats; no load or store needs alignment
//   Floats::load(p, n)  x.store(p, n)                  the first n lanes only, 0 <= n <= lanes: others load as 0,
//                                                      and no byte beyond the n-th is touched
//   load_f16(p)  load_bf16(p)  load_i8(p)              as floats, from uint16_t / uint16_t / int8_t
//   load_f16(p, n)  load_bf16(p, n)  load_i8(p, n)     their first n
//   look_up_halves(p, table, to)                       of 16 bytes as 32 floats in to[32 / lanes]: table[low half] of each,
//                                                      then table[high half] of each; table is int8_t[16]
//   look_up_pairs(p, table, to)                        as look_up_halves, but each byte's low half, then its high half
//   all_f16(h)                                         every lane the binary16 h
//   store_f16(x, p)  store_f16(x, p, n)                rounded to nearest even
//   a + b  a - b  a * b  a / b  -a  a += b  a *= b
//   fma(a, b, c)                                       a·b + c, rounded once (portable: twice)
//   min(a, b)  max(a, b)  abs(a)  sqrt(a)              min and max with a NaN: either operand
//   round(a)                                           to the nearest integer, ties to even; |a| < 2^22
//   select_less(a, b, x, y)                            x in lanes where a < b, else y (also where a or b is NaN)
//   copy_sign(a, b)                                    a with b's sign
//   exp(a)                                             within 1.5e-7 relative (6e-45 absolute below 1.2e-38);
//                                                      -inf to 0, above 88.73 to inf, NaN to NaN
//   sum(a)  max_lane(a)                                over the lanes, in a fixed tree
//   transpose(rows)                                    of a Floats[lanes]: lane j of row i with lane i of row j
//   prefetch(p)  prefetch_far(p)                       asks for the cache line of p, into the first or second level;
//                                                      p may be any address
//
// A loop over n floats, with its tail:
//
//   Floats total = Floats::zero();
//   int64_t i = 0;
//   for (; i + Floats::lanes <= n; i += Floats::lanes) total += Floats::load(x + i);
//   if (i < n) total += Floats::load(x + i, n - i);
//
// Compile with -ffp-contract=off: arithmetic is then as written, whatever surrounds it. Everything lies in the ISA's
// own namespace, because the linker keeps one copy of a function that two translation units share by name.
#pragma once

#include <cstdint>

#include "half.h"

#ifndef GOLGI_ISA
#error "compile with -DGOLGI_ISA=portable, avx2, avx512 or neon"
#endif

#define GOLGI_ISA_ID_portable 1
#define GOLGI_ISA_ID_avx2 2
#define GOLGI_ISA_ID_avx512 3
#define GOLGI_ISA_ID_neon 4
#define GOLGI_JOIN_TOKENS(a, b) a##b
#define GOLGI_JOIN(a, b) GOLGI_JOIN_TOKENS(a, b)
#define GOLGI_ISA_ID GOLGI_JOIN(GOLGI_ISA_ID_, GOLGI_ISA)

#if GOLGI_ISA_ID == 3
#include "simd_avx512.h"
#elif GOLGI_ISA_ID == 2
#include "simd_avx2.h"
#elif GOLGI_ISA_ID == 4
#include "simd_neon.h"
#else
#include "simd_portable.h"
#endif

#if defined(_MSC_VER) && !defined(__clang__)
#include <intrin.h>
#endif

namespace golgi::GOLGI_ISA {

inline Floats& operator+=(Floats& a, Floats b) { return a = a + b; }
inline Floats& operator*=(Floats& a, Floats b) { return a = a * b; }

inline void prefetch(const void* p) {
#if defined(__GNUC__) || defined(__clang__)
  __builtin_prefetch(p);
#elif defined(_M_X64)
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0);
#elif defined(_M_ARM64)
  __prefetch(p);
#endif
}

inline void prefetch_far(const void* p) {
#if defined(__GNUC__) || defined(__clang__)
  __builtin_prefetch(p, 0, 2);
#elif defined(_M_X64)
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1);
#elif defined(_M_ARM64)
  __prefetch2(p, 2);
#endif
}

/// exp as 2^n · e^r with n an integer and |r| <= ln2 / 2; the polynomial and the split of ln2 are those of Cephes' expf.
inline Floats exp(Floats x) {
  // Beyond these bounds the result is 0 or inf in float32; the order of operands lets NaN through.
  x = max(Floats::all(-104.0f), min(Floats::all(89.0f), x));
  const Floats n = round(x * Floats::all(1.44269504088896341f));
  Floats r = fma(n, Floats::all(-0.693359375f), x);
  r = fma(n, Floats::all(2.12194440e-4f), r);
  Floats p = Floats::all(1.9875691500e-4f);
  p = fma(p, r, Floats::all(1.3981999507e-3f));
  p = fma(p, r, Floats::all(8.3334519073e-3f));
  p = fma(p, r, Floats::all(4.1665795894e-2f));
  p = fma(p, r, Floats::all(1.6666665459e-1f));
  p = fma(p, r, Floats::all(5.0000001201e-1f));
  p = fma(p, r * r, r) + Floats::all(1.0f);
  return times_power_of_two(p, n);
}

}  // namespace golgi::GOLGI_ISA
