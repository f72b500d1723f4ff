// The formats of weights. Those with kernels of their own are structs of static functions over the bytes of one row, so
// that kernels are written once; the others are `Blocks`, which share one kernel (blocks.h):
//
//   block  block_bytes     elements that are decoded together, and their bytes
//   bytes(n)               that n elements from the beginning of a row take; n is a multiple of 32
//   element(row, i)        one element
//   load(row, i)           elements [i, i + lanes), i a multiple of lanes
//   load(row, i, n)        only n of them, 0 < n < lanes, at the end of a row: the other lanes are 0
//   add_products(row, b, x, sums)
//                          sums[c] += block b times x[c][b * block ..]; the dot product is the sum of the lanes at the end
//
// Some `Blocks` have add_products too, or a Prepared<n_columns>(x, n_k) with it, which is made once for many rows
// (decoded_dot.h). Rows need no alignment.
#pragma once

#include "../kernel.h"
#include "bf16.h"
#include "blocks.h"
#include "f16.h"
#include "f32.h"
#include "f8_e4m3.h"
#include "iq4_nl.h"
#include "iq4_xs.h"
#include "mxfp4.h"
#include "mxfp4_split.h"
#include "q2_k.h"
#include "q3_k.h"
#include "q4_0.h"
#include "q4_1.h"
#include "q4_k.h"
#include "q5_0.h"
#include "q5_1.h"
#include "q5_k.h"
#include "q6_k.h"
#include "q8_0.h"

namespace golgi::GOLGI_ISA {

/// Of a format without kernels of its own; those that have some are not asked for.
inline Blocks blocks_of(Format format) {
  switch (format) {
    case Format::q4_0: return blocks<Q4_0>();
    case Format::q4_1: return blocks<Q4_1>();
    case Format::q5_0: return blocks<Q5_0>();
    case Format::q5_1: return blocks<Q5_1>();
    case Format::q2_k: return blocks<Q2_K>();
    case Format::q3_k: return blocks<Q3_K>();
    case Format::q4_k: return blocks<Q4_K>();
    case Format::q5_k: return blocks<Q5_K>();
    case Format::q6_k: return blocks<Q6_K>();
    case Format::iq4_nl: return blocks<IQ4_NL>();
    case Format::iq4_xs: return blocks<IQ4_XS>();
    case Format::mxfp4: return blocks<MXFP4>();
    case Format::f8_e4m3: return scaled_blocks<F8_E4M3>();
    case Format::mxfp4_split: return scaled_blocks<MXFP4_SPLIT>();
    default: return {};
  }
}

/// Calls `f` with the format's struct, whose type is what matters, or with its `Blocks`.
template <class F>
inline void with_format(Format format, const F& f) {
  switch (format) {
    case Format::f32: return f(F32{});
    case Format::f16: return f(F16{});
    case Format::bf16: return f(BF16{});
    case Format::q8_0: return f(Q8_0{});
    default: return f(blocks_of(format));
  }
}

/// Elements [begin, begin + n) of a row, in whole blocks: `begin` begins one, and the row ends where one is cut.
template <class F>
inline void decode_row(F, const StoredRow& row, int64_t begin, int64_t n, float* out) {
  const uint8_t* from = row.data + F::bytes(begin);
  int64_t i = 0;
  for (; i + Floats::lanes <= n; i += Floats::lanes) F::load(from, i).store(out + i);
  if (i < n) F::load(from, i, n - i).store(out + i, n - i);
}
inline void decode_row(Blocks format, const StoredRow& row, int64_t begin, int64_t n, float* out) {
  format.decode(row, begin, n, out);
}

/// One element of a row.
template <class F>
inline float decode_element(F, const StoredRow& row, int64_t i) {
  return F::element(row.data, i);
}
inline float decode_element(Blocks format, const StoredRow& row, int64_t i) { return format.element(row, i); }

}  // namespace golgi::GOLGI_ISA
