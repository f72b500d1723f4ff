// See native/src/ops/attention_tile.h for the arithmetic, attention_block.h and attention_split.h for the two ways that
// the work is shared out.
#include "../../../native/src/isa.h"
#include "../../../native/src/ops/attention_split.h"

namespace golgi::GOLGI_ISA {

namespace {

/// Attention of one step; Element is the type of the cache's elements.
template <class Element>
struct Attention {
  const AttentionArgs& a;
  const VisibleKeys& visible = a.rows->visible(a.window);
  const int64_t group = a.n_H / a.n_K;

  int64_t n_keys(const RowBlock& block) const {
    return a.rows->position[block.end - 1] + 1 - visible.first[block.begin];
  }
  bool is_split(const RowBlock& block) const {
    const int64_t bytes_per_key = a.n_K * (a.n_D + a.n_E) * static_cast<int64_t>(sizeof(Element));
    return block.is_alone && n_keys(block) * bytes_per_key >= least_split_bytes;
  }

  /// Floats to keep for the scores of one query: weights take their place, and what a tap stores needs none.
  int64_t kept(const RowBlock& block) const { return a.scores && a.pattern ? 0 : padded_keys(n_keys(block)); }

  int64_t query_bytes(const RowBlock& block) const {
    const int64_t n = block.n_rows() * group;
    return carved<Query>(n) + carved<float>(n * kept(block));
  }

  /// The queries of one kv head in `query_bytes` of memory.
  QueryBlock place(const RowBlock& block, int64_t kv_head, void*& memory) const {
    const int64_t n = block.n_rows() * group;
    Query* queries = carve<Query>(memory, n);
    float* own = carve<float>(memory, n * kept(block));
    return place_queries(block, kv_head, group, queries, [&](int64_t row, int64_t head, int64_t i) {
      const int64_t at = row * a.n_H + head;
      const int64_t pair = head * visible.offset[a.n_T] + visible.offset[row];
      float* scores = a.scores ? a.scores + pair : own + i * kept(block);
      float* weights = a.pattern ? a.pattern + pair : own + i * kept(block);
      return Query{a.q + at * a.n_D,
                   visible.first[row],
                   a.rows->position[row],
                   scores,
                   weights,
                   weights,
                   a.out + at * a.n_E,
                   a.sinks ? a.sinks + head : nullptr};
    });
  }

  void attend(const RowBlock& block, int64_t kv_head, Context& context, int thread) const {
    const int64_t n_sums = block.n_rows() * group * a.n_E;
    void* memory = context.scratch(thread, query_bytes(block) + carved<float>(n_sums));
    const QueryBlock placed = place(block, kv_head, memory);
    score_block(placed, kv_of<Element>(a, block), static_cast<float>(a.scale));
    for (int64_t i = 0; i < placed.n_queries(); i++) weigh_keys(placed.queries[i], static_cast<float>(a.softcap));
    mix_block(placed, kv_of<Element>(a, block), carve<float>(memory, n_sums));
  }

  void attend_split(const RowBlock& block, Context& context) const {
    const int64_t first = visible.first[block.begin], end = first + n_keys(block);
    SplitAttention<Element> split{
        kv_of<Element>(a, block), a.n_K, static_cast<float>(a.scale), static_cast<float>(a.softcap), first, end};
    const int64_t n_sums = split.n_chunks() * block.n_rows() * a.n_H * a.n_E;
    const int64_t bytes = carved<QueryBlock>(a.n_K) + a.n_K * query_bytes(block) + carved<float>(n_sums);
    void* memory = context.shared_scratch(bytes);
    split.heads = carve<QueryBlock>(memory, a.n_K);
    for (int64_t h = 0; h < a.n_K; h++) split.heads[h] = place(block, h, memory);
    split.sums = carve<float>(memory, n_sums);
    split.run(context);
  }

  void run(Context& context) const {
    for_head_blocks(
        context, *a.rows, a.n_K, group, [&](const RowBlock& block) { return !is_split(block); },
        [&](const RowBlock& block, int64_t kv_head, int thread) { attend(block, kv_head, context, thread); });
    for_row_blocks(*a.rows, group, [&](const RowBlock& block) {
      if (is_split(block)) attend_split(block, context);
    });
  }
};

}  // namespace

void attention(const AttentionArgs& a, Context& context) {
  with_element(a.cache->type, [&]<class Element>(const Element*) { Attention<Element>{a}.run(context); });
}

}  // namespace golgi::GOLGI_ISA
