// GGUF's Q4_K: blocks of 256 elements in 144 bytes, 8 groups with 6-bit scales and minimums; see
// src/tensor/formats/q4-k.ts.
#pragma once

#include "blocks.h"
#include "k_scales.h"
#include "scaled_ints.h"

namespace golgi::GOLGI_ISA {

struct Q4_K {
  static constexpr Format format = Format::q4_k;
  static constexpr int64_t block = info_of(format).block;
  static constexpr int64_t block_bytes = info_of(format).block_bytes;
  static constexpr int8_t levels[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

  /// Elements 64 · i to 64 · i + 63 of a block, two groups, in units of their scales.
  struct Groups {
    Ints first_halves, second_halves;

    Groups(const uint8_t* from, int64_t i)
        : first_halves(ints_of_halves(from + 16 + 32 * i, levels)),
          second_halves(ints_of_halves(from + 32 + 32 * i, levels)) {}

    /// Vector v of group g.
    Floats operator()(int g, int64_t v) const {
      return v < n_half ? first_halves.of[g * n_half + v] : second_halves.of[g * n_half + v - n_half];
    }
    static constexpr int64_t n = Ints::n, n_half = n / 2;
  };

  static void decode(const uint8_t* from, float* to) {
    const GroupScales scales(from);
    for (int64_t i = 0; i < 4; i++) {
      const Groups groups(from, i);
      for (int g = 0; g < 2; g++, to += 32) {
        const Floats scale = scales.scale(2 * i + g), minimum = scales.minimum(2 * i + g);
        for (int64_t v = 0; v < Groups::n; v++) (groups(g, v) * scale - minimum).store(to + v * Floats::lanes);
      }
    }
  }

  /// Rows of up to so many elements are multiplied as they are stored.
  static constexpr int64_t max_prepared = 32768;
  template <int n_columns>
  struct Prepared;
};

/// With the sums of the activations of each group, so that a minimum costs one product a group.
template <int n_columns>
struct Q4_K::Prepared : Q4_K {
  float group_sums[n_columns][max_prepared / 32];

  Prepared(const float* const (&x)[n_columns], int64_t n_k) {
    for (int c = 0; c < n_columns; c++) {
      for (int64_t group = 0; group < n_k / 32; group++) {
        Floats total = Floats::zero();
        for (int64_t i = 0; i < 32; i += Floats::lanes) total += Floats::load(x[c] + 32 * group + i);
        group_sums[c][group] = sum(total);
      }
    }
  }

  void add_products(const StoredRow& row, int64_t b, const float* const (&x)[n_columns],
                    Floats (&sums)[n_columns]) const {
    const uint8_t* from = row.data + b * block_bytes;
    const GroupScales scales(from);
    for (int64_t i = 0; i < 4; i++) {
      const Groups groups(from, i);
      for (int g = 0; g < 2; g++) {
        const Floats scale = scales.scale(2 * i + g);
        for (int c = 0; c < n_columns; c++) {
          const float* part = x[c] + b * block + 64 * i + 32 * g;
          Floats products = groups(g, 0) * Floats::load(part);
          for (int64_t v = 1; v < Groups::n; v++) {
            products = fma(groups(g, v), Floats::load(part + v * Floats::lanes), products);
          }
          sums[c] = fma(scale, products, sums[c]);
        }
      }
    }
    constexpr int64_t n = std::min<int64_t>(Floats::lanes, 8);
    for (int64_t group = 0; group < 8; group += n) {
      const Floats minimums = -scales.block_minimum * Floats::load(scales.ints + 8 + group, n);
      for (int c = 0; c < n_columns; c++) {
        sums[c] = fma(minimums, Floats::load(group_sums[c] + 8 * b + group, n), sums[c]);
      }
    }
  }
};

}  // namespace golgi::GOLGI_ISA
