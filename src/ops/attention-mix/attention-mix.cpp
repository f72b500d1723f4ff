#include "../../../native/src/isa.h"
#include "../../../native/src/ops/attention_block.h"

namespace golgi::GOLGI_ISA {

void attention_mix(const AttentionMixArgs& a, Context& context) {
  const VisibleKeys& visible = a.rows->visible(a.window);
  const int64_t group = a.n_H / a.n_K;
  const auto query_of = [&](int64_t row, int64_t head, int64_t) {
    return Query{nullptr, visible.first[row], a.rows->position[row], nullptr, nullptr,
                 a.pattern + head * a.n_P + visible.offset[row], a.out + (row * a.n_H + head) * a.n_E, nullptr};
  };
  with_element(a.cache->type, [&]<class Element>(const Element*) {
    const auto work = [&](const RowBlock& block, int64_t kv_head, int thread) {
      const int64_t n = block.n_rows() * group;
      void* memory = context.scratch(thread, carved<Query>(n) + carved<float>(n * a.n_E));
      const QueryBlock queries = place_queries(block, kv_head, group, carve<Query>(memory, n), query_of);
      mix_block(queries, kv_of<Element>(a, block), carve<float>(memory, n * a.n_E));
    };
    for_head_blocks(context, *a.rows, a.n_K, group, all_blocks, work);
  });
}

}  // namespace golgi::GOLGI_ISA
