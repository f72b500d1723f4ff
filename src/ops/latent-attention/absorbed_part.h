// Attention of a few absorbed queries to a run of latents, which is read once: their scores, the exponentials of these
// relative to the largest of the run, and what the exponentials mix.
#pragma once

#include <limits>

#include "../../../native/src/ops/attention_block.h"
#include "latent_step.h"

namespace golgi::GOLGI_ISA {

/// Keys of one run, cut at absolute positions.
constexpr int64_t keys_per_part = 256;
static_assert(keys_per_part % keys_at_a_time == 0 && keys_at_a_time % page_size == 0);

/// The largest score of a query in some keys, and the sum of exp(score − largest).
struct SoftmaxPart {
  float largest, total;
};

/// What exponentials are relative to. Where every score is −inf they are all 0.
inline float shift_of(float largest) { return largest == -std::numeric_limits<float>::infinity() ? 0.0f : largest; }

/// A few pages of keys [latent, then rope], transposed as those of a cache.
struct PackedKeys {
  float* keys;  ///< [page, d_k, page_size]
  int64_t first_page, key_size;

  int64_t d_k() const { return key_size; }
  float* k(int64_t page, int64_t) const { return keys + (page - first_page) * page_size * key_size; }
};

/// Latents [page_size][n] and rotated keys [n_rope][page_size] into keys [n + n_rope][page_size].
template <class Element>
void pack_page(const Element* latents, int64_t n, const Element* rope, int64_t n_rope, float* keys) {
  constexpr int64_t lanes = Floats::lanes;
  for (int64_t i = 0; i < n; i += lanes) {
    const int64_t n_left = std::min(lanes, n - i);
    for (int64_t slot = 0; slot < page_size; slot += lanes) {
      Floats square[lanes];
      for (int64_t r = 0; r < lanes; r++) {
        const Element* from = latents + (slot + r) * n + i;
        square[r] = n_left == lanes ? load_element(from) : load_element(from, n_left);
      }
      transpose(square);
      for (int64_t r = 0; r < n_left; r++) square[r].store(keys + (i + r) * page_size + slot);
    }
  }
  load_elements(rope, n_rope * page_size, keys + n * page_size);
}

/// Some heads of a block of rows, and one run of keys.
template <class Element>
struct AbsorbedPart {
  const LatentStep& s;
  const PagedKv<Element> kv;
  const QueryBlock block;  ///< queries whose first and last keys lie in the run

  static int64_t packed_bytes(const LatentStep& s) {
    return carved<float>(keys_at_a_time * (s.latent() + s.rope()));
  }

  /// `packed`: scratch of packed_bytes.
  void score(float* packed) const {
    const int64_t end = block.last_key() + 1, size = s.latent() + s.rope();
    for (int64_t key = block.first_key(); key < end; key += keys_at_a_time) {
      const int64_t stop = std::min(end, key + keys_at_a_time);
      const PackedKeys keys{packed, key / page_size, size};
      for (int64_t page = key / page_size; page * page_size < stop; page++) {
        pack_page(kv.v(page, 0), s.latent(), kv.k(page, 0), s.rope(), keys.k(page, 0));
      }
      block.score(keys, key, stop, s.scale);
    }
  }

  SoftmaxPart weigh(const Query& query) const {
    const int64_t n = query.last - query.first + 1;
    const float largest = max_of(query.scores, n);
    return {largest, exp_row(query.scores, query.weights, n, Floats::all(shift_of(largest)))};
  }

  /// sums [queries, latent] = Σ weight · latent.
  void mix(float* sums) const {
    set_to_zero(sums, block.n_queries() * s.latent());
    block.mix(kv, block.first_key(), block.last_key() + 1, sums);
  }
};

/// Adds what the next run of keys has to what those before it gave: the softmax of both, and `mixed` [n].
inline void add_part(const SoftmaxPart& part, const float* sums, int64_t n, SoftmaxPart& softmax, float* mixed) {
  const float largest = std::max(softmax.largest, part.largest);
  const Floats shift = Floats::all(shift_of(largest));
  const Floats old_factor = exp(Floats::all(softmax.largest) - shift), factor = exp(Floats::all(part.largest) - shift);
  softmax = {largest, max_lane(fma(factor, Floats::all(part.total), old_factor * Floats::all(softmax.total)))};
  map(mixed, sums, mixed, n, [&](Floats old, Floats x) { return fma(factor, x, old_factor * old); });
}

}  // namespace golgi::GOLGI_ISA
