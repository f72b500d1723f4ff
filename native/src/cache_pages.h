#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernel.h"
#include "memory.h"

namespace golgi {

/// What one layer caches for each position.
struct CacheLayout {
  KvType type;
  int64_t n_kv_heads, d_k, d_v;

  int64_t element_bytes() const { return type == KvType::f32 ? 4 : 2; }
  int64_t v_offset() const { return page_size * n_kv_heads * d_k * element_bytes(); }
  int64_t page_bytes() const { return page_size * n_kv_heads * (d_k + d_v) * element_bytes(); }
};

/// Where the pages of every layer lie at one moment. It keeps them alive, so that a step under way is not disturbed
/// by room being made or given back.
struct PageTables {
  std::vector<std::vector<uint8_t*>> by_layer;
  std::vector<int64_t> page_bytes;  ///< by layer
  std::vector<std::shared_ptr<const Block>> owners;
  int64_t n_pages = 0;

  /// Copies what every layer holds in one page to another.
  void copy(int64_t from, int64_t to) const;
};

/// The pages of all layers' caches: the same numbers in each. They lie in groups of about a megabyte, which are mapped
/// and unmapped as a whole.
class CachePages {
 public:
  /// Adds a layer with as many pages as the others have; returns its index.
  int32_t add_layer(const CacheLayout& layout);
  const CacheLayout& layout(int32_t layer) const { return layers_[static_cast<size_t>(layer)].layout; }
  int32_t n_layers() const { return static_cast<int32_t>(layers_.size()); }

  /// Room for at least `n_pages` pages; what the others hold stays.
  void reserve(int64_t n_pages);
  /// Gives the memory of all pages from number `n_pages` on back.
  void trim(int64_t n_pages);
  int64_t n_pages() const { return n_pages_; }

  std::shared_ptr<const PageTables> tables() const { return tables_; }

 private:
  struct Layer {
    CacheLayout layout;
    int64_t pages_per_group;
    std::vector<std::shared_ptr<Block>> groups;
  };

  static void resize(Layer& layer, int64_t n_pages);
  void rebuild_tables();

  std::vector<Layer> layers_;
  int64_t n_pages_ = 0;
  std::shared_ptr<const PageTables> tables_ = std::make_shared<PageTables>();
};

}  // namespace golgi
