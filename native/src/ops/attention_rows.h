// Cuts the rows of a step into pieces of attention that fit the caches of a core.
#pragma once

#include "attention_tile.h"

namespace golgi::GOLGI_ISA {

/// Consecutive rows of one sequence.
struct RowBlock {
  int64_t begin, end;
  bool is_alone;  ///< its sequence has no other rows in this step

  int64_t n_rows() const { return end - begin; }
};

inline bool all_blocks(const RowBlock&) { return true; }

/// Rows that are attended to together, so that keys and values are read once for about four tiles of queries.
inline int64_t rows_per_block(int64_t group) { return std::max<int64_t>(1, 4 * max_queries / group); }

/// Calls `f(block)` for the step's rows in blocks.
template <class F>
void for_row_blocks(const Rows& rows, int64_t group, const F& f) {
  const int64_t size = rows_per_block(group);
  for (int64_t begin = 0, end = 0; begin < rows.n_rows; begin = end) {
    end = begin + 1;
    while (end < rows.n_rows && rows.sequence[end] == rows.sequence[begin]) end++;
    for (int64_t at = begin; at < end; at += size) f(RowBlock{at, std::min(end, at + size), end - begin <= size});
  }
}

/// Calls `f(block, kv head, thread)` in parallel for all kv heads of the blocks that `keep(block)` accepts.
template <class Keep, class F>
void for_head_blocks(Context& context, const Rows& rows, int64_t n_kv_heads, int64_t group, const Keep& keep,
                     const F& f) {
  int64_t n_blocks = 0;
  for_row_blocks(rows, group, [&](const RowBlock& block) { n_blocks += keep(block); });
  auto* blocks = static_cast<RowBlock*>(context.shared_scratch(n_blocks * static_cast<int64_t>(sizeof(RowBlock))));
  int64_t at = n_blocks;
  // Back to front: a prompt's last rows see the most keys, and must not be what everybody waits for.
  for_row_blocks(rows, group, [&](const RowBlock& block) {
    if (keep(block)) blocks[--at] = block;
  });
  context.parallel(n_blocks * n_kv_heads, [&](int64_t chunk, int thread) {
    f(blocks[chunk / n_kv_heads], chunk % n_kv_heads, thread);
  });
}

/// Calls `f(first, n)` for the tiles of a block's queries, which are in order of rows, then heads. A tile is several
/// whole rows, or heads of one row, and those in tiles as equal as can be.
template <class F>
void for_tiles(int64_t n_rows, int64_t group, const F& f) {
  if (2 * group <= max_queries) {
    const int64_t rows_per_tile = max_queries / group;
    for (int64_t row = 0; row < n_rows; row += rows_per_tile) {
      f(row * group, std::min(rows_per_tile, n_rows - row) * group);
    }
    return;
  }
  const int64_t n_tiles = (group + max_queries - 1) / max_queries;
  for (int64_t row = 0; row < n_rows; row++) {
    for (int64_t i = 0; i < n_tiles; i++) {
      const int64_t begin = i * group / n_tiles;
      f(row * group + begin, (i + 1) * group / n_tiles - begin);
    }
  }
}

/// Bytes of n elements in memory that is carved up.
template <class T>
inline int64_t carved(int64_t n) {
  return (n * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
}

/// Takes n elements from the front of `memory`, which is aligned to a cache line and stays so.
template <class T>
inline T* carve(void*& memory, int64_t n) {
  T* piece = static_cast<T*>(memory);
  memory = static_cast<uint8_t*>(memory) + carved<T>(n);
  return piece;
}

/// Floats to keep for one row of `n_keys` scores. An odd number of cache lines, so that the rows of a tile do not
/// compete for the same sets of the cache.
inline int64_t padded_keys(int64_t n_keys) { return ((n_keys + 15) / 16 | 1) * 16; }

}  // namespace golgi::GOLGI_ISA
