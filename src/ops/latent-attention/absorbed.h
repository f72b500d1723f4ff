// Latent attention with queries and mixtures as long as a latent, for few rows of each sequence: see latent_step.h.
//
// The cache is read in runs of keys. What a run gives is relative to its own largest score, and runs are added up in
// order; so results depend neither on how many are held at a time nor on how heads and runs were shared out.
#pragma once

#include "../matmul-transposed/strip_product.h"
#include "../matmul/decoded_dot.h"
#include "absorb_rows.h"
#include "absorbed_part.h"

namespace golgi::GOLGI_ISA {

/// Queries that share a packed run of keys.
constexpr int64_t absorbed_queries = 96;
/// Pieces to cut attention into where there are enough, and heads of the smallest.
constexpr int64_t n_absorbed_tasks = 16, least_heads = 4;
/// Floats of mixtures of runs that are held before they are added up.
constexpr int64_t max_sums = int64_t{1} << 22;
/// Rows whose queries are absorbed together, while the weights lie in the first-level cache.
constexpr int64_t absorbed_at_a_time = 256;

template <class Element>
class AbsorbedAttention {
 public:
  AbsorbedAttention(const LatentStep& step, Context& context) : s_(step), context_(context) {
    for_blocks([&](const Block& block) {
      n_rows_ = block.first + block.n_rows();
      n_runs_ = block.first_run + block.n_runs;
      n_block_queries_ = std::max(n_block_queries_, block.n_rows() * s_.n_heads);
      n_blocks_++;
    });
    if (n_rows_ == 0) return;
    n_head_parts_ = std::clamp<int64_t>(n_absorbed_tasks / n_runs_, 1, (s_.n_heads + least_heads - 1) / least_heads);
    runs_at_a_time_ = std::clamp<int64_t>(max_sums / (n_block_queries_ * s_.latent()), 1, n_runs_);
    place();
  }

  void run() {
    if (n_rows_ == 0) return;
    if (s_.q) absorb_queries();
    for (int64_t first = 0; first < n_runs_; first += runs_at_a_time_) {
      const int64_t end = std::min(n_runs_, first + runs_at_a_time_);
      attend(first, end);
      if (s_.w_v) add_runs(first, end);
    }
    if (s_.q && s_.pattern) store_pattern();
    if (s_.w_v) project();
  }

 private:
  /// Rows of one sequence that are attended to together.
  struct Block : RowBlock {
    int64_t first;  ///< its first row, counted among the absorbed rows
    int64_t first_run, n_runs;
  };

  /// Calls `f(block)` for all blocks of sequences that are absorbed.
  template <class F>
  void for_blocks(const F& f) const {
    const int64_t size = std::max<int64_t>(1, absorbed_queries / s_.n_heads);
    int64_t first = 0, first_run = 0;
    for_sequences(s_.rows, [&](const LatentRows& rows) {
      if (is_naive(s_, rows)) return;
      for (int64_t begin = rows.begin; begin < rows.end; begin += size) {
        const int64_t end = std::min(rows.end, begin + size);
        const Block block{{begin, end, false}, first, first_run, run_of(s_.n_keys(end - 1) - 1) + 1};
        f(block);
        first += block.n_rows();
        first_run += block.n_runs;
      }
    });
  }

  static int64_t run_of(int64_t key) { return key / keys_per_part; }

  void place() {
    const int64_t n_queries = n_rows_ * s_.n_heads, n_held = s_.w_v ? runs_at_a_time_ * n_block_queries_ : 0;
    const int64_t n_absorbed = s_.q ? n_queries * query_size() : 0, n_mixed = s_.w_v ? n_queries * s_.latent() : 0;
    void* memory = context_.shared_scratch(
        carved<Block>(n_blocks_) + carved<int32_t>(n_rows_) + carved<float>(n_absorbed) + carved<float>(n_mixed) +
        carved<float>(n_held * s_.latent()) + carved<SoftmaxPart>(n_queries) + carved<SoftmaxPart>(n_held));
    blocks_ = carve<Block>(memory, n_blocks_);
    rows_ = carve<int32_t>(memory, n_rows_);
    queries_ = carve<float>(memory, n_absorbed);
    mixed_ = carve<float>(memory, n_mixed);
    sums_ = carve<float>(memory, n_held * s_.latent());
    softmaxes_ = carve<SoftmaxPart>(memory, n_queries);
    parts_ = carve<SoftmaxPart>(memory, n_held);
    Block* next = blocks_;
    for_blocks([&](const Block& block) {
      *next++ = block;
      for (int64_t i = 0; i < block.n_rows(); i++) rows_[block.first + i] = static_cast<int32_t>(block.begin + i);
    });
  }

  int64_t query_size() const { return s_.latent() + s_.rope(); }

  /// q · wK_h for every head, and behind it what meets the rotated key.
  void absorb_queries() const {
    const bool is_few = n_rows_ <= max_dot_rows;
    const int64_t n_strips = is_few ? 1 : (s_.latent() + strip_columns - 1) / strip_columns;
    const int64_t n_groups = is_few ? 1 : (n_rows_ + absorbed_at_a_time - 1) / absorbed_at_a_time;
    with_format(s_.w_k->format, [&](auto format) {
      context_.parallel(s_.n_heads * n_strips * n_groups, [&](int64_t index, int thread) {
        const int64_t group = index % n_groups, strip = index / n_groups % n_strips, head = index / n_groups / n_strips;
        const int64_t first = n_rows_ * group / n_groups, n = n_rows_ * (group + 1) / n_groups - first;
        const Activations q{s_.q + head * s_.qk_dim(), s_.n_heads * s_.qk_dim(), rows_ + first};
        const Results out{queries_ + (first * s_.n_heads + head) * query_size(), s_.n_heads * query_size()};
        if (is_few) absorb_rows(format, *s_.w_k, head * s_.nope, s_.nope, n, q, out);
        else absorb_strip(format, head, strip * strip_columns, n, q, out, thread);
        if (strip > 0) return;
        for (int64_t i = 0; i < n; i++) std::copy_n(q[i] + s_.nope, s_.rope(), out[i] + s_.latent());
      });
    });
  }

  template <class F>
  void absorb_strip(F format, int64_t head, int64_t first_column, int64_t n, const Activations& q, const Results& out,
                    int thread) const {
    const int64_t first_row = head * s_.nope, n_columns = std::min(strip_columns, s_.latent() - first_column);
    const Strip strip{first_row, first_row + s_.nope, first_column, n_columns, 0, n};
    auto* scratch = static_cast<float*>(context_.scratch(thread, 4 * strip_scratch_size(n)));
    multiply_strip(format, *s_.w_k, strip, q, out.from(0, first_column), scratch);
  }

  /// The runs [first, end), in each some heads after others where runs are few.
  void attend(int64_t first, int64_t end) const {
    context_.parallel((end - first) * n_head_parts_, [&](int64_t index, int thread) {
      const int64_t run = first + index / n_head_parts_, part = index % n_head_parts_;
      const auto begins_after = [](int64_t r, const Block& block) { return r < block.first_run; };
      const Block& block = *(std::upper_bound(blocks_, blocks_ + n_blocks_, run, begins_after) - 1);
      attend_run(block, run - block.first_run, run - first, part, thread);
    });
  }

  int64_t first_head(int64_t part) const { return part * s_.n_heads / n_head_parts_; }

  /// Where the heads of `part` begin among the queries of a block, which are in order of parts, then rows, then heads.
  int64_t first_query(const Block& block, int64_t part) const { return first_head(part) * block.n_rows(); }

  void attend_run(const Block& block, int64_t run, int64_t held, int64_t part, int thread) const {
    const int64_t first_key = run * keys_per_part, head = first_head(part), group = first_head(part + 1) - head;
    RowBlock seeing = block;
    while (s_.n_keys(seeing.begin) <= first_key) seeing.begin++;
    const int64_t n = seeing.n_rows() * group, n_kept = s_.q ? n * padded_keys(keys_per_part) : 0;
    void* memory = context_.scratch(
        thread, carved<Query>(n) + carved<float>(n_kept) + AbsorbedPart<Element>::packed_bytes(s_));
    Query* queries = carve<Query>(memory, n);
    float* kept = carve<float>(memory, n_kept);
    const auto query = [&](int64_t row, int64_t h, int64_t i) {
      const int64_t at = block.first + row - block.begin;
      return query_of(row, at, head + h, first_key, kept + i * padded_keys(keys_per_part));
    };
    const PagedKv<Element> kv{s_.cache, s_.rows.pages[s_.rows.sequence[block.begin]]};
    const AbsorbedPart<Element> attended{s_, kv, place_queries(seeing, 0, group, queries, query)};
    if (s_.q) attended.score(static_cast<float*>(memory));
    if (!s_.w_v) return;
    const int64_t at = held * n_block_queries_ + first_query(block, part) + (seeing.begin - block.begin) * group;
    for (int64_t i = 0; s_.q && i < n; i++) parts_[at + i] = attended.weigh(queries[i]);
    attended.mix(sums_ + at * s_.latent());
  }

  /// Of the keys of one run; the row is the `at`-th of those that are absorbed.
  Query query_of(int64_t row, int64_t at, int64_t head, int64_t first_key, float* kept) const {
    float* stored = s_.pairs(s_.scores ? s_.scores : s_.pattern, row, head);
    Query query{};
    query.first = first_key;
    query.last = std::min(first_key + keys_per_part, s_.n_keys(row)) - 1;
    if (s_.q) query.q = queries_ + (at * s_.n_heads + head) * query_size();
    query.scores = stored ? stored + first_key : kept;
    query.weights = kept;
    query.pattern = s_.q ? kept : s_.pairs(s_.given_pattern, row, head) + first_key;
    return query;
  }

  /// What the runs [first, end) gave each query, to what those before them gave.
  void add_runs(int64_t first, int64_t end) const {
    for_rows(context_, n_rows_ * s_.n_heads, (end - first) * s_.latent(), [&](int64_t query) {
      const int64_t at = query / s_.n_heads, head = query % s_.n_heads;
      const auto begins_after = [](int64_t row, const Block& block) { return row < block.first; };
      const Block& block = *(std::upper_bound(blocks_, blocks_ + n_blocks_, at, begins_after) - 1);
      const int64_t part = ((head + 1) * n_head_parts_ - 1) / s_.n_heads;
      const int64_t group = first_head(part + 1) - first_head(part);
      const int64_t i = first_query(block, part) + (at - block.first) * group + head - first_head(part);
      const int64_t last_run = block.first_run + run_of(s_.n_keys(rows_[at]) - 1);
      for (int64_t run = std::max(first, block.first_run); run < std::min(end, last_run + 1); run++) {
        add_run(query, (run - first) * n_block_queries_ + i, run == block.first_run, run == last_run);
      }
    });
  }

  void add_run(int64_t query, int64_t held, bool is_first, bool is_last) const {
    const int64_t n = s_.latent();
    float* mixed = mixed_ + query * n;
    const float* sums = sums_ + held * n;
    if (is_first) std::copy_n(sums, n, mixed);
    else if (!s_.q) add_to(mixed, sums, n);
    if (!s_.q) return;
    SoftmaxPart& softmax = softmaxes_[query];
    if (is_first) softmax = parts_[held];
    else add_part(parts_[held], sums, n, softmax, mixed);
    if (is_last) map(mixed, mixed, n, [factor = Floats::all(1 / softmax.total)](Floats x) { return x * factor; });
  }

  void store_pattern() const {
    for_rows(context_, n_rows_ * s_.n_heads, 4 * keys_per_part, [&](int64_t query) {
      const int64_t row = rows_[query / s_.n_heads], head = query % s_.n_heads;
      const float* scores = s_.pairs(s_.scores ? s_.scores : s_.pattern, row, head);
      softmax_row(scores, s_.pairs(s_.pattern, row, head), s_.n_keys(row));
    });
  }

  /// z: every head's rows of wV times what it mixed.
  void project() const {
    with_format(s_.w_v->format, [&](auto format) {
      const int64_t n_each = outputs_per_chunk(s_.v_dim, format.bytes(s_.latent()));
      const PanelGrid grid(s_.v_dim, n_rows_);
      const bool is_few = n_rows_ <= max_dot_rows;
      const int64_t n_chunks = is_few ? (s_.v_dim + n_each - 1) / n_each : grid.n_chunks();
      context_.parallel(s_.n_heads * n_chunks, [&](int64_t index, int thread) {
        const int64_t head = index / n_chunks, chunk = index % n_chunks, first_row = head * s_.v_dim;
        const Activations x{mixed_ + head * s_.latent(), s_.n_heads * s_.latent()};
        const Results out{s_.z + first_row, s_.n_heads * s_.v_dim, rows_};
        if (is_few) {
          const int64_t begin = chunk * n_each, end = std::min(s_.v_dim, begin + n_each);
          dot_products(format, DotChunk{*s_.w_v, first_row, nullptr, begin, end, s_.latent(), n_rows_, x, out});
        } else {
          const PanelChunk panels(grid, chunk, *s_.w_v, first_row, context_, thread);
          panels.multiply(format, 0, s_.latent(), x);
          panels.store(nullptr, out);
        }
      });
    });
  }

  const LatentStep& s_;
  Context& context_;
  int64_t n_rows_ = 0, n_blocks_ = 0, n_runs_ = 0;
  int64_t n_block_queries_ = 0;  ///< of the largest block
  int64_t n_head_parts_ = 1, runs_at_a_time_ = 1;
  Block* blocks_ = nullptr;
  int32_t* rows_ = nullptr;            ///< [n_rows] of the step
  float* queries_ = nullptr;           ///< [n_rows, n_heads, query_size]
  float* mixed_ = nullptr;             ///< [n_rows, n_heads, latent]
  SoftmaxPart* softmaxes_ = nullptr;   ///< [n_rows, n_heads]
  float* sums_ = nullptr;              ///< [runs_at_a_time, queries of a block, latent]
  SoftmaxPart* parts_ = nullptr;       ///< [runs_at_a_time, queries of a block]
};

}  // namespace golgi::GOLGI_ISA
