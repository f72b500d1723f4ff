// The formats of weights, each a struct of static functions over the bytes of one row, so that kernels are written once:
//
//   block  block_bytes     elements that are decoded together, and their bytes
//   bytes(n)               that n elements from the beginning of a row take; n is a multiple of 32
//   element(row, i)        one element
//   load(row, i)           elements [i, i + lanes), i a multiple of lanes
//   load(row, i, n)        only n of them, 0 < n < lanes, at the end of a row: the other lanes are 0
//   Block<n_columns>       one block, decoded as suits products with n_columns rows of activations
//     (start)              from its first byte
//     times(x, sum)        sum + products with x[0 .. block), lane by lane: the dot product is the sum of the lanes
//
// Rows need no alignment.
#pragma once

#include "../kernel.h"
#include "bf16.h"
#include "f16.h"
#include "f32.h"
#include "q8_0.h"

namespace golgi::GOLGI_ISA {

/// The largest `block` of any format.
constexpr int64_t max_block = 32;

/// Calls `f` with a value of the format's struct, whose type is what matters.
template <class F>
inline void with_format(Format format, const F& f) {
  switch (format) {
    case Format::f32: return f(F32{});
    case Format::f16: return f(F16{});
    case Format::bf16: return f(BF16{});
    case Format::q8_0: return f(Q8_0{});
  }
}

/// Elements [begin, end) of a row into out[0 ..]; begin is a multiple of the format's block.
template <class F>
inline void decode(const uint8_t* row, int64_t begin, int64_t end, float* out) {
  int64_t i = begin;
  for (; i + Floats::lanes <= end; i += Floats::lanes) F::load(row, i).store(out + i - begin);
  if (i < end) F::load(row, i, end - i).store(out + i - begin, end - i);
}

}  // namespace golgi::GOLGI_ISA
