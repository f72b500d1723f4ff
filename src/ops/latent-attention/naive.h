// Latent attention with the keys and values of every head, for many rows of one sequence: see latent_step.h.
#pragma once

#include "../../../native/src/ops/attention_block.h"
#include "../matmul/panel.h"
#include "latent_step.h"

namespace golgi::GOLGI_ISA {

/// Floats of keys and values that are held at a time, in as many heads as they make.
constexpr int64_t max_head_floats = int64_t{1} << 22;
/// Latents that are multiplied at a time.
constexpr int64_t max_latent_floats = int64_t{1} << 21;

/// Keys and values of a few heads, in pages as those of a cache.
struct HeadPages {
  float* keys;    ///< [head, page, d_k, page_size]
  float* values;  ///< [head, page, page_size, d_v]
  int64_t n_pages, key_size, value_size;

  int64_t d_k() const { return key_size; }
  int64_t d_v() const { return value_size; }
  float* k(int64_t page, int64_t head) const { return keys + (head * n_pages + page) * page_size * key_size; }
  float* v(int64_t page, int64_t head) const { return values + (head * n_pages + page) * page_size * value_size; }
};

template <class Element>
class NaiveAttention {
 public:
  NaiveAttention(const LatentStep& step, const LatentRows& rows, Context& context)
      : s_(step), rows_(rows), context_(context), kv_{step.cache, step.rows.pages[step.rows.sequence[rows.begin]]} {
    const int64_t n_pages = (s_.n_keys(rows_.end - 1) + page_size - 1) / page_size;
    heads_ = {nullptr, nullptr, n_pages, s_.q ? s_.qk_dim() : 0, s_.v_dim};
    const int64_t key_floats = n_pages * page_size * heads_.key_size;
    const int64_t value_floats = n_pages * page_size * heads_.value_size;
    n_at_a_time_ = std::clamp<int64_t>(max_head_floats / (key_floats + value_floats), 1, s_.n_heads);
    pages_at_a_time_ = std::clamp<int64_t>(max_latent_floats / (page_size * s_.latent()), 1, n_pages);
    const int64_t latent_floats = pages_at_a_time_ * page_size * s_.latent();
    void* memory = context.shared_scratch(carved<float>(latent_floats) + carved<float>(n_at_a_time_ * key_floats) +
                                          carved<float>(n_at_a_time_ * value_floats));
    latents_ = carve<float>(memory, latent_floats);
    heads_.keys = carve<float>(memory, n_at_a_time_ * key_floats);
    heads_.values = carve<float>(memory, n_at_a_time_ * value_floats);
  }

  void run() {
    for (first_head_ = 0; first_head_ < s_.n_heads; first_head_ += n_at_a_time_) {
      n_heads_ = std::min(n_at_a_time_, s_.n_heads - first_head_);
      for (int64_t page = 0; page < heads_.n_pages; page += pages_at_a_time_) {
        const int64_t end = std::min(heads_.n_pages, page + pages_at_a_time_);
        read_pages(page, end);
        if (s_.q) multiply(*s_.w_k, s_.nope, page, end, [&](const PanelChunk& chunk, int64_t head) {
          store_keys(chunk, page, head);
        });
        if (s_.w_v) multiply(*s_.w_v, s_.v_dim, page, end, [&](const PanelChunk& chunk, int64_t head) {
          chunk.store(nullptr, {heads_.v(page, head), s_.v_dim});
        });
      }
      attend();
    }
  }

 private:
  /// Latents of the pages [begin, end), and the rotated keys as the last dimensions of every head's.
  void read_pages(int64_t begin, int64_t end) const {
    const int64_t page_latents = page_size * s_.latent();
    for_rows(context_, end - begin, page_latents + n_heads_ * page_size * s_.rope(), [&](int64_t i) {
      load_elements(kv_.v(begin + i, 0), page_latents, latents_ + i * page_latents);
      for (int64_t head = 0; s_.q && head < n_heads_; head++) {
        load_elements(kv_.k(begin + i, 0), s_.rope() * page_size, heads_.k(begin + i, head) + s_.nope * page_size);
      }
    });
  }

  /// Calls `store(chunk, head)` for products of each head's `n` rows of `w` with the latents of pages [begin, end).
  template <class Store>
  void multiply(const Weight& w, int64_t n, int64_t begin, int64_t end, const Store& store) const {
    const PanelGrid grid(n, (end - begin) * page_size);
    with_format(w.format, [&](auto format) {
      context_.parallel(n_heads_ * grid.n_chunks(), [&](int64_t index, int thread) {
        const int64_t head = index / grid.n_chunks();
        const PanelChunk chunk(grid, index % grid.n_chunks(), w, (first_head_ + head) * n, context_, thread);
        chunk.multiply(format, 0, s_.latent(), {latents_, s_.latent()});
        store(chunk, head);
      });
    });
  }

  /// The chunk's dimensions of keys, of which the first is that of `page`.
  void store_keys(const PanelChunk& chunk, int64_t page, int64_t head) const {
    const int64_t end = chunk.first_column + chunk.n_columns;
    for (int64_t key = chunk.first_column; key < end;) {
      const int64_t stop = std::min(end, key - key % page_size + page_size);
      float* to = heads_.k(page + key / page_size, head) + chunk.first_output * page_size;
      for (int64_t r = 0; r < chunk.n_rows; r++, to += page_size) {
        for (int64_t i = key; i < stop; i++) {
          to[i % page_size] = chunk.sums[(i - chunk.first_column) * panel_rows + r];
        }
      }
      key = stop;
    }
  }

  void attend() const {
    const int64_t size = rows_per_block(1), n_blocks = (rows_.end - rows_.begin + size - 1) / size;
    context_.parallel(n_blocks * n_heads_, [&](int64_t index, int thread) {
      // The last rows see the most keys, and must not be what everybody waits for.
      const int64_t begin = rows_.begin + (n_blocks - 1 - index / n_heads_) * size;
      attend_block({begin, std::min(rows_.end, begin + size), false}, index % n_heads_, thread);
    });
  }

  void attend_block(const RowBlock& block, int64_t head, int thread) const {
    const int64_t n = block.n_rows(), n_sums = n * s_.v_dim;
    const bool is_read_whole = s_.scores && (s_.pattern || !s_.w_v);
    const int64_t n_kept = s_.q && !is_read_whole ? padded_keys(s_.n_keys(block.end - 1)) : 0;
    void* memory = context_.scratch(thread, carved<Query>(n) + carved<float>(n * n_kept) + carved<float>(n_sums));
    Query* queries = carve<Query>(memory, n);
    float* kept = carve<float>(memory, n * n_kept);
    const QueryBlock placed = place_queries(block, head, 1, queries, [&](int64_t row, int64_t, int64_t i) {
      return query_of(row, first_head_ + head, kept + i * n_kept);
    });
    if (s_.q) score_block(placed, heads_, s_.scale);
    if (!s_.w_v) return;
    for (int64_t i = 0; s_.q && i < n; i++) weigh_keys(queries[i], 0);
    mix_block(placed, heads_, carve<float>(memory, n_sums));
  }

  Query query_of(int64_t row, int64_t head, float* kept) const {
    const int64_t at = row * s_.n_heads + head;
    float* scores = s_.pairs(s_.scores, row, head);
    float* pattern = s_.pairs(s_.pattern, row, head);
    Query query{};
    query.last = s_.rows.position[row];
    if (s_.q) query.q = s_.q + at * s_.qk_dim();
    query.scores = scores ? scores : kept;
    query.weights = pattern ? pattern : kept;
    query.pattern = s_.q ? query.weights : s_.pairs(s_.given_pattern, row, head);
    if (s_.w_v) query.z = s_.z + at * s_.v_dim;
    return query;
  }

  const LatentStep& s_;
  const LatentRows rows_;
  Context& context_;
  const PagedKv<Element> kv_;
  HeadPages heads_;
  int64_t n_at_a_time_, pages_at_a_time_;
  float* latents_;  ///< [pages_at_a_time, page_size, latent]
  int64_t first_head_ = 0, n_heads_ = 0;
};

}  // namespace golgi::GOLGI_ISA
