#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cache_pages.h"
#include "pool.h"
#include "program.h"
#include "step.h"

namespace golgi {

/// One model's weights, caches and threads. Everything but `run` belongs to the thread that owns the engine; `run` to
/// one other thread, which may be at work meanwhile: it touches only what it is given, the arena and the pool.
class Engine {
 public:
  Engine(int n_threads, const KernelTable& kernels) : kernels_(kernels), pool_(n_threads) {}

  const KernelTable& kernels() const { return kernels_; }

  int32_t bind(std::shared_ptr<const BoundWeight> weight);
  /// Throws std::out_of_range for a number that no weight has.
  const std::shared_ptr<const BoundWeight>& weight(int32_t index) const;

  CachePages& pages() { return pages_; }

  /// A program lives on its own, but runs on this engine only.
  std::shared_ptr<const Program> compile(ProgramSource source) const;

  /// One checked step; false where `stop()` held before one of the instructions. Throws std::bad_alloc.
  template <class Stop>
  bool run(const Program& program, const Step& step, const PageTables& pages, const Stop& stop) {
    Frame frame(program, step, pages);
    arena_.grow(frame.arena_bytes());
    frame.place_arena(arena_.data());
    return program.run(frame, pool_, stop);
  }

 private:
  const KernelTable& kernels_;
  std::vector<std::shared_ptr<const BoundWeight>> weights_;
  CachePages pages_;
  Block arena_;
  Pool pool_;
};

}  // namespace golgi
