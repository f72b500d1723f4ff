// Attention of a few rows to many keys, shared out over the keys.
//
// The time of such a step is that of reading the cache, and memory gives most when read in long runs. So each thread
// takes chunks of positions and reads whole pages of them, all kv heads in turn, instead of one head's piece of every
// page. The bits are those of one thread doing it all: see attention_tile.h.
#pragma once

#include "attention_block.h"

namespace golgi::GOLGI_ISA {

/// Below this many bytes of keys and values, sharing out is not worth three more meetings of the threads.
constexpr int64_t least_split_bytes = 256 * 1024;

/// Pieces to cut the keys into where there are enough: more than threads, so that a slow thread delays nobody much.
constexpr int64_t n_split_tasks = 16;

/// One block of rows with its queries of every kv head.
template <class Element>
struct SplitAttention {
  PagedKv<Element> kv;
  int64_t n_kv_heads;
  float scale, softcap;
  int64_t first_key, end;       ///< that any of the rows sees
  QueryBlock* heads = nullptr;  ///< [n_kv_heads]
  float* sums = nullptr;        ///< [n_kv_heads, n_chunks, n_queries of a head, d_v]

  int64_t first_chunk() const { return first_key / keys_per_chunk; }
  int64_t n_chunks() const { return (end + keys_per_chunk - 1) / keys_per_chunk - first_chunk(); }

  void run(Context& context) const {
    const int64_t d = kv.d_v(), n = heads[0].n_queries();
    for_pieces(context, [&](int64_t key, int64_t key_end, int64_t h) { heads[h].score(kv, key, key_end, scale); });
    context.parallel(n_kv_heads * n, [&](int64_t i, int) { weigh_keys(heads[i / n].queries[i % n], softcap); });
    for_pieces(context, [&](int64_t key, int64_t key_end, int64_t h) {
      const int64_t chunk = key / keys_per_chunk - first_chunk();
      float* part = sums + (h * n_chunks() + chunk) * n * d;
      if (key % keys_per_chunk == 0) set_to_zero(part, n * d);
      heads[h].mix(kv, key, key_end, part);
    });
    context.parallel(n_kv_heads, [&](int64_t h, int) { add_chunks(heads[h], sums + h * n_chunks() * n * d); });
  }

 private:
  /// Calls `f(key, end, kv head)` for all keys and kv heads, a few pages at a time: chunks in parallel, and kv heads
  /// too where chunks are few.
  template <class F>
  void for_pieces(Context& context, const F& f) const {
    const int64_t chunks_per_task = std::max<int64_t>(1, n_chunks() / n_split_tasks);
    const int64_t n_tasks = (n_chunks() + chunks_per_task - 1) / chunks_per_task;
    const int64_t n_parts = std::clamp<int64_t>(n_split_tasks / n_tasks, 1, n_kv_heads);
    context.parallel(n_tasks * n_parts, [&](int64_t i, int) {
      const int64_t task = i / n_parts, part = i % n_parts;
      const int64_t begin = (first_chunk() + task * chunks_per_task) * keys_per_chunk;
      const int64_t task_end = std::min(end, begin + chunks_per_task * keys_per_chunk);
      for (int64_t key = begin; key < task_end; key += keys_at_a_time) {
        const int64_t key_end = std::min(task_end, key + keys_at_a_time);
        for (int64_t h = part * n_kv_heads / n_parts; h < (part + 1) * n_kv_heads / n_parts; h++) f(key, key_end, h);
      }
    });
  }

  /// z of the queries of one kv head from their chunks' sums.
  void add_chunks(const QueryBlock& head, const float* parts) const {
    const int64_t d = kv.d_v(), n = head.n_queries();
    for (int64_t i = 0; i < n; i++) {
      float* z = head.queries[i].z;
      set_to_zero(z, d);
      for (int64_t chunk = 0; chunk < n_chunks(); chunk++) add_to(z, parts + (chunk * n + i) * d, d);
    }
  }
};

}  // namespace golgi::GOLGI_ISA
