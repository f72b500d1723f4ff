#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "kernel.h"
#include "memory.h"

namespace golgi {

/// Threads that share out the chunks of one op after another. They stay: while a step runs they spin, since waking a
/// thread takes longer than many ops; after 2 ms without work they sleep, so that an idle engine burns no CPU.
///
/// An op waits for its chunks and not for threads: one that the system has set aside, or that is still waking up,
/// holds nobody up unless it has begun a chunk.
class Pool final : public Context {
 public:
  /// The thread that calls `parallel` counts as one; throws std::system_error where the others cannot be started.
  explicit Pool(int n_threads);
  ~Pool() override;

  int n_threads() const override { return static_cast<int>(scratch_.size()); }
  void* scratch(int thread, int64_t bytes) override;
  void* shared_scratch(int64_t bytes) override;

 protected:
  /// An exception thrown by a chunk is thrown again once all chunks have ended.
  void run_chunks(int64_t n_chunks, Call call, void* work) override;

 private:
  void work(int thread);
  void take_chunks(int thread);
  void run_chunk(int64_t chunk, int thread) noexcept;
  void sleep_until_published(uint64_t seen);
  void wake_sleepers();
  void stop();

  /// Number of the job in the upper half, chunks that nobody has taken yet in the lower. One word, so that a late
  /// thread cannot take a chunk of a job whose description it has not seen.
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<int64_t> n_done_{0};

  // The job: written before its ticket, and stable while any of its chunks is not done.
  alignas(64) Call call_ = nullptr;
  void* work_ = nullptr;
  int64_t n_chunks_ = 0;
  uint64_t n_jobs_ = 0;

  std::atomic<bool> stopping_{false};
  std::atomic<int> n_sleeping_{0};
  std::mutex mutex_;
  std::condition_variable published_;
  std::exception_ptr failure_;

  std::vector<Block> scratch_;
  Block shared_scratch_;
  std::vector<std::thread> workers_;
};

}  // namespace golgi
