// The queries of a block of rows that share one kv head, and what is done with them.
#pragma once

#include "attention_rows.h"
#include "chunks.h"
#include "soft_cap.h"
#include "softmax_row.h"

namespace golgi::GOLGI_ISA {

/// Keys that stay in the first-level cache while all tiles of a block pass over them; a divisor of keys_per_chunk.
constexpr int64_t keys_at_a_time = 64;

inline int64_t page_floor(int64_t key) { return key - key % page_size; }

inline void set_to_zero(float* x, int64_t n) { std::fill_n(x, n, 0.0f); }

/// Keeps all scores of the query within ±cap; 0: as they are.
inline void cap_scores(const Query& query, float cap) {
  if (cap == 0) return;
  const auto capped = [cap = Floats::all(cap)](Floats score) { return soft_capped(score, cap); };
  map(query.scores, query.scores, query.last - query.first + 1, capped);
}

/// The query's weights from what `score` left, which becomes its scores.
inline void weigh_keys(const Query& query, float cap) {
  cap_scores(query, cap);
  softmax_row(query.scores, query.weights, query.last - query.first + 1, query.sink);
}

inline void add_to(float* z, const float* sums, int64_t n) {
  map(z, sums, z, n, [](Floats a, Floats b) { return a + b; });
}

/// The queries of one block of rows that read the same kv head, with what the tiles need.
struct QueryBlock {
  Query* queries;
  int64_t n_rows, group, kv_head;

  int64_t n_queries() const { return n_rows * group; }
  int64_t first_key() const { return queries[0].first; }
  int64_t last_key() const { return queries[n_queries() - 1].last; }

  /// Scores of the keys in [begin, end); `begin` is a multiple of the page size.
  template <class Kv>
  void score(const Kv& kv, int64_t begin, int64_t end, float scale) const {
    for_tiles(n_rows, group, [&](int64_t i, int64_t n) {
      const int64_t from = std::max(begin, page_floor(queries[i].first));
      const int64_t to = std::min(end, queries[i + n - 1].last + 1);
      if (from < to) score_keys(queries + i, n, kv, kv_head, from, to, scale);
    });
  }

  /// Adds Σ weight · v of the keys in [begin, end) to `sums` [n_queries, d_v].
  template <class Kv>
  void mix(const Kv& kv, int64_t begin, int64_t end, float* sums) const {
    for_tiles(n_rows, group, [&](int64_t i, int64_t n) {
      mix_keys(queries + i, n, kv, kv_head, begin, end, sums + i * kv.d_v());
    });
  }
};

/// The queries of a block of rows in `memory` for as many; `query_of(row, head, i)` makes the i-th of them.
template <class F>
QueryBlock place_queries(const RowBlock& block, int64_t kv_head, int64_t group, Query* memory, const F& query_of) {
  for (int64_t i = 0; i < block.n_rows() * group; i++) {
    memory[i] = query_of(block.begin + i / group, kv_head * group + i % group, i);
  }
  return {memory, block.n_rows(), group, kv_head};
}

/// The cache of an op's arguments as the sequence of `block` sees it.
template <class Element, class Args>
PagedKv<Element> kv_of(const Args& a, const RowBlock& block) {
  return {*a.cache, a.rows->pages[a.rows->sequence[block.begin]]};
}

/// All scores of the block.
template <class Kv>
void score_block(const QueryBlock& block, const Kv& kv, float scale) {
  const int64_t end = block.last_key() + 1;
  for (int64_t key = page_floor(block.first_key()); key < end; key += keys_at_a_time) {
    block.score(kv, key, std::min(end, key + keys_at_a_time), scale);
  }
}

/// z of all queries of the block. `sums` has room for [n_queries, d_v].
template <class Kv>
void mix_block(const QueryBlock& block, const Kv& kv, float* sums) {
  const int64_t d = kv.d_v(), n = block.n_queries();
  for (int64_t i = 0; i < n; i++) set_to_zero(block.queries[i].z, d);
  const int64_t end = block.last_key() + 1;
  for (int64_t chunk = block.first_key() / keys_per_chunk; chunk * keys_per_chunk < end; chunk++) {
    set_to_zero(sums, n * d);
    block.mix(kv, chunk * keys_per_chunk, std::min(end, (chunk + 1) * keys_per_chunk), sums);
    for (int64_t i = 0; i < n; i++) add_to(block.queries[i].z, sums + i * d, d);
  }
}

}  // namespace golgi::GOLGI_ISA
