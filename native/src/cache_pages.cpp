#include "cache_pages.h"

#include <algorithm>
#include <cstring>
#include <cstring>

namespace golgi {

namespace {

constexpr int64_t group_bytes = int64_t{1} << 20;

}  // namespace

void PageTables::copy(int64_t from, int64_t to) const {
  if (from == to) return;
  for (size_t layer = 0; layer < by_layer.size(); layer++) {
    const std::vector<uint8_t*>& pages = by_layer[layer];
    std::memcpy(pages[static_cast<size_t>(to)], pages[static_cast<size_t>(from)], static_cast<size_t>(page_bytes[layer]));
  }
}

int32_t CachePages::add_layer(const CacheLayout& layout) {
  layers_.push_back({layout, std::max<int64_t>(1, group_bytes / layout.page_bytes()), {}});
  resize(layers_.back(), n_pages_);
  rebuild_tables();
  return n_layers() - 1;
}

void CachePages::reserve(int64_t n_pages) {
  if (n_pages <= n_pages_) return;
  for (Layer& layer : layers_) resize(layer, n_pages);
  n_pages_ = n_pages;
  rebuild_tables();
}

void CachePages::trim(int64_t n_pages) {
  if (n_pages >= n_pages_) return;
  for (Layer& layer : layers_) {
    resize(layer, n_pages);
    const int64_t n_left = n_pages % layer.pages_per_group;
    if (n_left > 0) layer.groups.back()->discard_from(n_left * layer.layout.page_bytes());
  }
  n_pages_ = n_pages;
  rebuild_tables();
}

void CachePages::resize(Layer& layer, int64_t n_pages) {
  const int64_t n_groups = (n_pages + layer.pages_per_group - 1) / layer.pages_per_group;
  const int64_t bytes = layer.pages_per_group * layer.layout.page_bytes();
  layer.groups.reserve(static_cast<size_t>(n_groups));
  while (static_cast<int64_t>(layer.groups.size()) < n_groups) layer.groups.push_back(std::make_shared<Block>(bytes));
  layer.groups.resize(static_cast<size_t>(n_groups));
}

void CachePages::rebuild_tables() {
  auto tables = std::make_shared<PageTables>();
  tables->n_pages = n_pages_;
  for (const Layer& layer : layers_) {
    std::vector<uint8_t*>& pages = tables->by_layer.emplace_back();
    pages.reserve(static_cast<size_t>(n_pages_));
    tables->page_bytes.push_back(layer.layout.page_bytes());
    for (int64_t page = 0; page < n_pages_; page++) {
      const Block& group = *layer.groups[static_cast<size_t>(page / layer.pages_per_group)];
      pages.push_back(group.data() + page % layer.pages_per_group * layer.layout.page_bytes());
    }
    tables->owners.insert(tables->owners.end(), layer.groups.begin(), layer.groups.end());
  }
  tables_ = std::move(tables);
}

}  // namespace golgi
