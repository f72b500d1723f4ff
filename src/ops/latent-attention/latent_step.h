// What the three ops over a cache of latents have in common, and which of two forms their arithmetic takes.
//
// Keys and values of a head are wK_h · c and wV_h · c with a token's latent c. *Naive*: they are computed for every key
// of the sequence, and attended to as usual. *Absorbed*: (q · wK_h) · c is the same score, and wV_h · Σ pattern · c the
// same z; so queries and what they mix are as long as a latent, and wK and wV meet each row instead of each key.
#pragma once

#include "../../../native/src/isa.h"

namespace golgi::GOLGI_ISA {

struct LatentStep {
  const Rows& rows;
  const Cache& cache;  ///< k: the rotated key that all heads share; v: the latent
  int64_t n_heads;

  // Scores and their weights.
  const float* q = nullptr;  ///< [T, n_heads, qk_dim]; null where the pattern is given
  const Weight* w_k = nullptr;
  int64_t nope = 0;  ///< dimensions of a query that meet what w_k gives
  float scale = 1;
  const float* given_pattern = nullptr;  ///< [n_heads, P]
  float* scores = nullptr;               ///< [n_heads, P]; null unless somebody reads it
  float* pattern = nullptr;              ///< [n_heads, P]; null unless somebody reads it

  // What the weights mix.
  const Weight* w_v = nullptr;  ///< null where scores are all that is wanted
  int64_t v_dim = 0;
  float* z = nullptr;  ///< [T, n_heads, v_dim]

  int64_t latent() const { return cache.d_v; }
  int64_t rope() const { return cache.d_k; }
  int64_t qk_dim() const { return nope + rope(); }
  int64_t n_keys(int64_t row) const { return rows.position[row] + 1; }

  /// The pairs of a row in what is [n_heads, P]; null where that is null. Only where something has P elements does a
  /// step know where its pairs lie.
  template <class Element>
  Element* pairs(Element* of, int64_t row, int64_t head) const {
    if (!of) return nullptr;
    const int64_t* offset = rows.visible(0).offset;
    return of + head * offset[rows.n_rows] + offset[row];
  }
};

/// The rows of one sequence.
struct LatentRows {
  int64_t begin, end;
};

/// Calls `f(rows)` for every sequence of the step.
template <class F>
void for_sequences(const Rows& rows, const F& f) {
  for (int64_t begin = 0, end = 0; begin < rows.n_rows; begin = end) {
    end = begin + 1;
    while (end < rows.n_rows && rows.sequence[end] == rows.sequence[begin]) end++;
    f(LatentRows{begin, end});
  }
}

/// Whether keys and values of these rows' sequence take less work than queries and mixtures as long as a latent. It
/// depends on the sequence alone, so that its bits do not depend on others in the step.
inline bool is_naive(const LatentStep& s, const LatentRows& rows) {
  // Packing the weights for a product with many rows takes as long as multiplying so many.
  constexpr double packing_rows = 4;
  double n_pairs = 0;
  for (int64_t row = rows.begin; row < rows.end; row++) n_pairs += static_cast<double>(s.n_keys(row));
  const auto n_keys = static_cast<double>(s.n_keys(rows.end - 1)), n_rows = static_cast<double>(rows.end - rows.begin);
  const auto per_row = static_cast<double>(s.latent() * ((s.q ? s.nope : 0) + s.v_dim));
  const auto per_naive_pair = static_cast<double>((s.q ? s.qk_dim() : 0) + s.v_dim);
  const auto per_absorbed_pair = static_cast<double>((s.q ? s.latent() + s.rope() : 0) + (s.w_v ? s.latent() : 0));
  return (n_keys + packing_rows) * per_row + n_pairs * per_naive_pair < n_rows * per_row + n_pairs * per_absorbed_pair;
}

}  // namespace golgi::GOLGI_ISA
