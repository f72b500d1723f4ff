#include "../../../native/src/isa.h"
#include "../../../native/src/ops/chunks.h"
#include "../../../native/src/ops/kv_page.h"

namespace golgi::GOLGI_ISA {

namespace {

/// Writes x[d] to every page_size-th element of `out`.
template <class Element>
void scatter(const float* x, int64_t d, Element* out) {
  Element some[64];
  for (int64_t begin = 0; begin < d; begin += 64) {
    const int64_t n = std::min<int64_t>(64, d - begin);
    store_elements(x + begin, n, some);
    for (int64_t i = 0; i < n; i++) out[(begin + i) * page_size] = some[i];
  }
}

/// The keys and values of one kv head, of all rows.
template <class Element>
void append_head(const KvAppendArgs& a, int64_t head) {
  for (int64_t row = 0; row < a.n_T; row++) {
    const PagedKv<Element> kv{*a.cache, a.rows->pages[a.rows->sequence[row]]};
    const int64_t page = a.rows->position[row] / page_size, slot = a.rows->position[row] % page_size;
    scatter(a.k + (row * a.n_K + head) * a.n_D, a.n_D, kv.k(page, head) + slot);
    store_elements(a.v + (row * a.n_K + head) * a.n_E, a.n_E, kv.v(page, head) + slot * a.n_E);
  }
}

}  // namespace

void kv_append(const KvAppendArgs& a, Context& context) {
  with_element(a.cache->type, [&]<class Element>(const Element*) {
    // By heads, since two heads share no cache line that threads would contend for.
    for_rows(context, a.n_K, a.n_T * (a.n_D + a.n_E), [&](int64_t head) { append_head<Element>(a, head); });
  });
}

}  // namespace golgi::GOLGI_ISA
