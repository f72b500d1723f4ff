// How one layer's keys and values lie in a page of the cache, for the four ops that touch them.
//
// A page's k part holds the kv heads one after another, each as [d_k][16 slots]; the v part likewise, each head as
// [16 slots][d_v]. So a vector holds one dimension of several keys, or several dimensions of one value: neither
// scores nor mixed values need sums across lanes, and every sum runs in one order however many rows share it. A page
// is read from its first byte to its last.
#pragma once

#include <algorithm>

#include "../isa.h"

namespace golgi::GOLGI_ISA {

/// One sequence's cached keys and values. Element: float, or uint16_t for f16.
template <class Element>
struct PagedKv {
  const Cache& cache;
  const int32_t* pages;  ///< of the sequence

  int64_t d_k() const { return cache.d_k; }
  int64_t d_v() const { return cache.d_v; }

  /// [d_k][page_size] of the i-th page of the sequence.
  Element* k(int64_t i, int64_t kv_head) const {
    return reinterpret_cast<Element*>(cache.page[pages[i]]) + kv_head * page_size * cache.d_k;
  }
  /// [page_size][d_v] of the i-th page of the sequence.
  Element* v(int64_t i, int64_t kv_head) const {
    return reinterpret_cast<Element*>(cache.page[pages[i]] + cache.v_offset) + kv_head * page_size * cache.d_v;
  }
};

inline Floats load_element(const float* p) { return Floats::load(p); }
inline Floats load_element(const float* p, int64_t n) { return Floats::load(p, n); }
inline Floats load_element(const uint16_t* p) { return load_f16(p); }
inline Floats load_element(const uint16_t* p, int64_t n) { return load_f16(p, n); }

inline void load_elements(const float* p, int64_t n, float* out) { std::copy_n(p, n, out); }
inline void load_elements(const uint16_t* p, int64_t n, float* out) {
  int64_t i = 0;
  for (; i + Floats::lanes <= n; i += Floats::lanes) load_f16(p + i).store(out + i);
  if (i < n) load_f16(p + i, n - i).store(out + i, n - i);
}

inline void store_elements(const float* x, int64_t n, float* out) { std::copy_n(x, n, out); }
inline void store_elements(const float* x, int64_t n, uint16_t* out) {
  int64_t i = 0;
  for (; i + Floats::lanes <= n; i += Floats::lanes) store_f16(Floats::load(x + i), out + i);
  if (i < n) store_f16(Floats::load(x + i, n - i), out + i, n - i);
}

/// Calls `f` with a null pointer to the cache's type of element.
template <class F>
void with_element(KvType type, const F& f) {
  if (type == KvType::f32) {
    f(static_cast<const float*>(nullptr));
  } else {
    f(static_cast<const uint16_t*>(nullptr));
  }
}

}  // namespace golgi::GOLGI_ISA
