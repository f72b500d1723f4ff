#include "pool.h"

#include <utility>

#include "red_zone.h"
#include "spin.h"

namespace golgi {

namespace {

constexpr uint64_t untaken_mask = 0xffffffff;

}  // namespace

Pool::Pool(int n_threads) : scratch_(static_cast<size_t>(n_threads)) {
  try {
    for (int thread = 1; thread < n_threads; thread++) workers_.emplace_back(&Pool::work, this, thread);
  } catch (...) {
    stop();
    throw;
  }
}

Pool::~Pool() { stop(); }

void Pool::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  published_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

void* Pool::scratch(int thread, int64_t bytes) {
  Block& block = scratch_[static_cast<size_t>(thread)];
  block.grow(bytes);
  allow(block.data(), bytes);
  forbid(block.data() + bytes, block.size_bytes() - bytes);
  return block.data();
}

void* Pool::shared_scratch(int64_t bytes) {
  shared_scratch_.grow(bytes);
  allow(shared_scratch_.data(), bytes);
  forbid(shared_scratch_.data() + bytes, shared_scratch_.size_bytes() - bytes);
  return shared_scratch_.data();
}

void Pool::run_chunks(int64_t n_chunks, Call call, void* work) {
  if (n_chunks == 1 || workers_.empty()) {
    for (int64_t chunk = 0; chunk < n_chunks; chunk++) call(work, chunk, 0);
    return;
  }
  call_ = call;
  work_ = work;
  n_chunks_ = n_chunks;
  n_done_.store(0, std::memory_order_relaxed);
  // Sequentially consistent, as is the count of sleepers: either a thread on its way to sleep sees this ticket, or this
  // thread sees the sleeper.
  ticket_.store(++n_jobs_ << 32 | static_cast<uint64_t>(n_chunks));
  if (n_sleeping_.load() > 0) wake_sleepers();
  take_chunks(0);
  for (int i = 0; n_done_.load(std::memory_order_acquire) < n_chunks; i++) {
    if (i < n_spins) pause();
    else std::this_thread::yield();
  }
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

void Pool::take_chunks(int thread) {
  int64_t n_mine = 0;
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while ((ticket & untaken_mask) != 0) {
    const bool taken = ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel,
                                                     std::memory_order_acquire);
    if (!taken) continue;
    run_chunk(n_chunks_ - static_cast<int64_t>(ticket & untaken_mask), thread);
    n_mine++;
    ticket = ticket_.load(std::memory_order_acquire);
  }
  // Told once for all: until then this job cannot end, so every chunk above was one of the same job.
  if (n_mine > 0) n_done_.fetch_add(n_mine, std::memory_order_release);
}

void Pool::run_chunk(int64_t chunk, int thread) noexcept {
  try {
    call_(work_, chunk, thread);
  } catch (...) {
    const std::lock_guard lock(mutex_);
    if (!failure_) failure_ = std::current_exception();
  }
}

void Pool::work(int thread) {
  while (!stopping_.load(std::memory_order_relaxed)) {
    take_chunks(thread);
    const uint64_t seen = ticket_.load(std::memory_order_relaxed);
    if ((seen & untaken_mask) != 0) continue;
    const auto changed = [&] {
      return ticket_.load(std::memory_order_relaxed) != seen || stopping_.load(std::memory_order_relaxed);
    };
    if (!spin_until(changed)) sleep_until_published(seen);
  }
}

void Pool::sleep_until_published(uint64_t seen) {
  std::unique_lock lock(mutex_);
  n_sleeping_++;
  published_.wait(lock, [&] { return ticket_.load() != seen || stopping_.load(); });
  n_sleeping_--;
}

void Pool::wake_sleepers() {
  // Empty: a thread between its look at the ticket and its sleep holds the lock.
  { const std::lock_guard lock(mutex_); }
  published_.notify_all();
}

}  // namespace golgi
