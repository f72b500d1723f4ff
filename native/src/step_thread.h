#pragma once

#include <napi.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>

namespace golgi {

/// Something to do off the event loop, and then to tell on it.
class Task {
 public:
  virtual ~Task() = default;
  /// On the step thread. `stopping` turns true when the environment goes down: end soon.
  virtual void work(const std::atomic<bool>& stopping) noexcept = 0;
  /// On the event loop's thread.
  virtual void settle(Napi::Env env) = 0;

 private:
  friend class StepThread;
  Napi::ObjectReference owner_;
};

/// The thread on which an engine's steps run, one after another. It is the engine's own, since Node's few pool threads
/// also read files. All methods belong to the event loop's thread; tasks under way keep that loop alive.
class StepThread {
 public:
  /// A thread that spins is ready at once for a step that soon follows another. It pays where it has a processor to
  /// itself, apart from those on which the pool's threads spin and JavaScript runs.
  StepThread(Napi::Env env, bool spins);
  ~StepThread();
  StepThread(const StepThread&) = delete;
  StepThread& operator=(const StepThread&) = delete;

  /// `owner`, the object that this thread belongs to, is not collected before the task has settled.
  void post(const Napi::Object& owner, std::unique_ptr<Task> task);

  /// Lets the task under way end, forgets those that wait, and joins the thread; does nothing the second time.
  void stop();

 private:
  static void settle(Napi::Env env, Napi::Function, StepThread* self, Task* task);
  using Settle = Napi::TypedThreadSafeFunction<StepThread, Task, &StepThread::settle>;

  static void stop_at_exit(void* self) { static_cast<StepThread*>(self)->stop(); }
  void loop();

  Napi::Env env_;
  const bool spins_;
  Settle settle_;
  int n_pending_ = 0;
  bool stopped_ = false;

  std::mutex mutex_;
  std::condition_variable posted_;
  std::deque<std::unique_ptr<Task>> waiting_;
  std::atomic<bool> stopping_{false};
  /// Tasks that wait, to be looked at without the lock.
  std::atomic<int> n_waiting_{0};
  std::thread thread_;
};

}  // namespace golgi
