// What formats share whose blocks are 32 small whole numbers times one scale.
#pragma once

#include "../simd.h"

namespace golgi::GOLGI_ISA {

/// The whole numbers of a block.
struct Ints {
  static constexpr int64_t n = 32 / Floats::lanes;
  Floats of[n];

  void store_scaled(Floats scale, float* to) const {
    for (int64_t v = 0; v < n; v++) (of[v] * scale).store(to + v * Floats::lanes);
  }

  /// sums[c] += the numbers times scale times x[c][i ..].
  template <int n_columns>
  void add_products(Floats scale, const float* const (&x)[n_columns], int64_t i, Floats (&sums)[n_columns]) const {
    // Scaling products costs one more fma a column, scaling the weights one multiplication a vector.
    if constexpr (n_columns > n) {
      Floats w[n];
      for (int64_t v = 0; v < n; v++) w[v] = of[v] * scale;
      for (int c = 0; c < n_columns; c++) {
        for (int64_t v = 0; v < n; v++) sums[c] = fma(w[v], Floats::load(x[c] + i + v * Floats::lanes), sums[c]);
      }
    } else {
      for (int c = 0; c < n_columns; c++) {
        Floats products = of[0] * Floats::load(x[c] + i);
        for (int64_t v = 1; v < n; v++) products = fma(of[v], Floats::load(x[c] + i + v * Floats::lanes), products);
        sums[c] = fma(scale, products, sums[c]);
      }
    }
  }
};

/// Of 16 bytes, whose low halves are numbers 0 to 15 and whose high halves are 16 to 31, by way of a table.
inline Ints ints_of_halves(const uint8_t* bytes, const int8_t (&table)[16]) {
  Ints ints;
  look_up_halves(bytes, table, ints.of);
  return ints;
}

/// Of 16 bytes of two neighbours each.
inline Ints ints_of_pairs(const uint8_t* bytes, const int8_t (&table)[16]) {
  Ints ints;
  look_up_pairs(bytes, table, ints.of);
  return ints;
}

}  // namespace golgi::GOLGI_ISA
