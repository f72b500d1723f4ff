#include "../../../native/src/isa.h"
#include "../../../native/src/ops/kv_page.h"

namespace golgi::GOLGI_ISA {

namespace {

/// The keys and values of one kv head, of all rows.
template <class Element>
void append_head(const KvAppendArgs& a, int64_t head, Element* converted) {
  for (int64_t row = 0; row < a.n_T; row++) {
    const int64_t position = a.rows->position[row], slot = position % page_size;
    const PagedKv<Element> kv{*a.cache, a.rows->pages[a.rows->sequence[row]]};
    store_elements(a.k + (row * a.n_K + head) * a.n_D, a.n_D, converted);
    Element* k = kv.k(position / page_size, head) + slot;
    for (int64_t i = 0; i < a.n_D; i++) k[i * page_size] = converted[i];
    store_elements(a.v + (row * a.n_K + head) * a.n_E, a.n_E, kv.v(position / page_size, head) + slot * a.n_E);
  }
}

}  // namespace

void kv_append(const KvAppendArgs& a, Context& context) {
  with_element(a.cache->type, [&]<class Element>(const Element*) {
    // No two heads share a cache line, so threads do not wait for each other's.
    context.parallel(a.n_K, [&](int64_t head, int thread) {
      append_head(a, head, static_cast<Element*>(context.scratch(thread, a.n_D * static_cast<int64_t>(sizeof(Element)))));
    });
  });
}

}  // namespace golgi::GOLGI_ISA
