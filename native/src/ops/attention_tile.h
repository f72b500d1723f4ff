// The inner loops of attention: a few queries against the keys, or the values, that they share.
//
// Every score is one sum over the dimensions in order. Every mixed value is one sum over the keys in order within
// chunks of `keys_per_chunk` (cut at absolute positions), and then one over the chunks. So neither the queries that a
// tile happens to hold nor the way that work was shared out changes a bit of any result.
//
// A `Kv` gives keys and values by page and kv head: `d_k()`, `k(page, kv_head)`, `d_v()`, `v(page, kv_head)`, as PagedKv.
#pragma once

#include <algorithm>
#include <type_traits>
#include <utility>

#include "kv_page.h"

namespace golgi::GOLGI_ISA {

/// One head of one row. It sees the keys from `first` to `last`, which its scores and weights begin and end with.
struct Query {
  const float* q;  ///< [d_k]
  int64_t first, last;
  float* scores;         ///< where scores go
  float* weights;        ///< where their softmax goes
  const float* pattern;  ///< the weights that values are mixed with
  float* z;              ///< [d_v]
  const float* sink;     ///< a score of no key that takes its share; null: none
};

constexpr int64_t keys_per_chunk = 128;
constexpr int64_t max_queries = 6;  ///< of one tile: with `wide` vectors each they fill the registers
constexpr int wide = GOLGI_ISA_ID == GOLGI_ISA_ID_avx512 || GOLGI_ISA_ID == GOLGI_ISA_ID_neon ? 4 : 2;

/// Calls `f` with n as a compile-time constant, 1 <= n <= max_queries.
template <class F>
inline void with_count(int64_t n, const F& f) {
  switch (n) {
    case 1: return f(std::integral_constant<int, 1>{});
    case 2: return f(std::integral_constant<int, 2>{});
    case 3: return f(std::integral_constant<int, 3>{});
    case 4: return f(std::integral_constant<int, 4>{});
    case 5: return f(std::integral_constant<int, 5>{});
    default: return f(std::integral_constant<int, 6>{});
  }
}

/// Calls `f` with each of 0 to n − 1 as a compile-time constant. Loops over registers are written with it: compilers
/// keep an array in registers only where every index is a constant from the beginning.
template <int n, class F>
inline void unrolled(const F& f) {
  [&]<int... i>(std::integer_sequence<int, i...>) { (f(std::integral_constant<int, i>{}), ...); }
  (std::make_integer_sequence<int, n>{});
}

/// Stores those of `scores`, of the keys from `key` on, that the query sees.
inline void store_visible(Floats scores, const Query& query, int64_t key) {
  constexpr int64_t lanes = Floats::lanes;
  if (key >= query.first && key + lanes - 1 <= query.last) return scores.store(query.scores + (key - query.first));
  const int64_t begin = std::max(key, query.first);
  const int64_t end = std::min(key + lanes, query.last + 1);
  if (begin >= end) return;
  float all[lanes];
  scores.store(all);
  std::copy(all + (begin - key), all + (end - key), query.scores + (begin - query.first));
}

/// scale · q · k of a tile of queries and `n_vectors` vectors of keys from `key` on, a multiple of the lanes.
template <int n_queries, int n_vectors, class Kv>
void score_vectors(const Query* queries, const Kv& kv, int64_t kv_head, int64_t key, float scale) {
  const int64_t d = kv.d_k();
  const float* q[n_queries];
  decltype(kv.k(0, 0)) k[n_vectors];
  Floats sums[n_queries][n_vectors];
  unrolled<n_vectors>([&](auto v) {
    const int64_t at = key + v * Floats::lanes;
    k[v] = kv.k(at / page_size, kv_head) + at % page_size;
  });
  unrolled<n_queries>([&](auto n) {
    q[n] = queries[n].q;
    unrolled<n_vectors>([&](auto v) { sums[n][v] = Floats::zero(); });
  });
  for (int64_t i = 0; i < d; i++) {
    Floats keys[n_vectors];
    unrolled<n_vectors>([&](auto v) { keys[v] = load_element(k[v] + i * page_size); });
    unrolled<n_queries>([&](auto n) {
      const Floats one = Floats::all(q[n][i]);
      unrolled<n_vectors>([&](auto v) { sums[n][v] = fma(one, keys[v], sums[n][v]); });
    });
  }
  unrolled<n_queries>([&](auto n) {
    unrolled<n_vectors>([&](auto v) {
      store_visible(Floats::all(scale) * sums[n][v], queries[n], key + v * Floats::lanes);
    });
  });
}

/// scale · q · k of a tile for all keys in [begin, end) that its queries see; `begin` is a multiple of the page size.
template <class Kv>
void score_keys(const Query* queries, int64_t n_queries, const Kv& kv, int64_t kv_head, int64_t begin, int64_t end,
                float scale) {
  with_count(n_queries, [&](auto count) {
    int64_t key = begin;
    for (; key + (wide - 1) * Floats::lanes < end; key += wide * Floats::lanes) {
      score_vectors<count(), wide>(queries, kv, kv_head, key, scale);
    }
    for (; key < end; key += Floats::lanes) score_vectors<count(), 1>(queries, kv, kv_head, key, scale);
  });
}

/// Adds Σ weight · v over the keys [begin, end), which all queries of the tile see, to `sums` [n_queries, d_v]:
/// `n_vectors` vectors of dimensions from `column` on, loaded and stored by `part...` (nothing: whole vectors).
template <int n_queries, int n_vectors, class Kv, class... Part>
void mix_columns(const Query* queries, const Kv& kv, int64_t kv_head, int64_t begin, int64_t end, int64_t column,
                 float* sums, Part... part) {
  constexpr int64_t lanes = Floats::lanes;
  const int64_t d = kv.d_v();
  const float* weights[n_queries];
  Floats z[n_queries][n_vectors];
  unrolled<n_queries>([&](auto n) {
    weights[n] = queries[n].pattern + (begin - queries[n].first);
    unrolled<n_vectors>([&](auto v) { z[n][v] = Floats::load(sums + n * d + column + v * lanes, part...); });
  });
  for (int64_t key = begin; key < end;) {
    const int64_t page_end = std::min(end, key - key % page_size + page_size);
    auto value = kv.v(key / page_size, kv_head) + key % page_size * d + column;
    for (; key < page_end; key++, value += d) {
      Floats values[n_vectors];
      unrolled<n_vectors>([&](auto v) { values[v] = load_element(value + v * lanes, part...); });
      unrolled<n_queries>([&](auto n) {
        const Floats weight = Floats::all(weights[n][key - begin]);
        unrolled<n_vectors>([&](auto v) { z[n][v] = fma(weight, values[v], z[n][v]); });
      });
    }
  }
  unrolled<n_queries>([&](auto n) {
    unrolled<n_vectors>([&](auto v) { z[n][v].store(sums + n * d + column + v * lanes, part...); });
  });
}

/// As mix_columns, for all dimensions.
template <class Kv>
void mix_shared(const Query* queries, int64_t n_queries, const Kv& kv, int64_t kv_head, int64_t begin, int64_t end,
                float* sums) {
  if (begin >= end) return;
  with_count(n_queries, [&](auto count) {
    const int64_t d = kv.d_v();
    int64_t column = 0;
    for (; column + wide * Floats::lanes <= d; column += wide * Floats::lanes) {
      mix_columns<count(), wide>(queries, kv, kv_head, begin, end, column, sums);
    }
    for (; column + Floats::lanes <= d; column += Floats::lanes) {
      mix_columns<count(), 1>(queries, kv, kv_head, begin, end, column, sums);
    }
    if (column < d) mix_columns<count(), 1>(queries, kv, kv_head, begin, end, column, sums, d - column);
  });
}

/// Adds to `sums` Σ weight · v over those keys in [begin, end) that each query of the tile sees. Rows of a tile are
/// ascending, so first come keys that only some still see, then those that all do, then those that only some see yet.
/// A key that a query does not see is not even multiplied by 0: it may be infinite.
template <class Kv>
void mix_keys(const Query* queries, int64_t n_queries, const Kv& kv, int64_t kv_head, int64_t begin, int64_t end,
              float* sums) {
  const int64_t d = kv.d_v();
  const int64_t shared_begin = std::max(begin, queries[n_queries - 1].first);
  const int64_t shared_end = std::max(shared_begin, std::min(end, queries[0].last + 1));
  for (int64_t n = 0; n < n_queries; n++) {
    const int64_t from = std::max(begin, queries[n].first);
    const int64_t to = std::min({shared_begin, end, queries[n].last + 1});
    mix_shared(queries + n, 1, kv, kv_head, from, to, sums + n * d);
  }
  mix_shared(queries, n_queries, kv, kv_head, shared_begin, shared_end, sums);
  for (int64_t n = 0; n < n_queries; n++) {
    const int64_t to = std::min(end, queries[n].last + 1);
    mix_shared(queries + n, 1, kv, kv_head, shared_end, to, sums + n * d);
  }
}

}  // namespace golgi::GOLGI_ISA
