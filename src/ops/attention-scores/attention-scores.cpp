#include "../../../native/src/isa.h"
#include "../../../native/src/ops/attention_block.h"

namespace golgi::GOLGI_ISA {

void attention_scores(const AttentionScoresArgs& a, Context& context) {
  const VisibleKeys& visible = a.rows->visible(a.window);
  const int64_t group = a.n_H / a.n_K;
  const auto query_of = [&](int64_t row, int64_t head, int64_t) {
    return Query{a.q + (row * a.n_H + head) * a.n_D, visible.first[row], a.rows->position[row],
                 a.out + head * a.n_P + visible.offset[row], nullptr, nullptr, nullptr, nullptr};
  };
  with_element(a.cache->type, [&]<class Element>(const Element*) {
    const auto work = [&](const RowBlock& block, int64_t kv_head, int thread) {
      void* memory = context.scratch(thread, carved<Query>(block.n_rows() * group));
      const QueryBlock queries = place_queries(block, kv_head, group, static_cast<Query*>(memory), query_of);
      score_block(queries, kv_of<Element>(a, block), static_cast<float>(a.scale));
      for (int64_t i = 0; i < queries.n_queries(); i++) cap_scores(queries.queries[i], static_cast<float>(a.softcap));
    };
    for_head_blocks(context, *a.rows, a.n_K, group, all_blocks, work);
  });
}

}  // namespace golgi::GOLGI_ISA
