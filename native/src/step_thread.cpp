#include "step_thread.h"

#include <utility>

#include "spin.h"

namespace golgi {

StepThread::StepThread(Napi::Env env, bool spins)
    : env_(env), spins_(spins), settle_(Settle::New(env, "golgi step", 0, 1, this)) {
  settle_.Unref(env);
  try {
    thread_ = std::thread(&StepThread::loop, this);
  } catch (...) {
    settle_.Release();
    throw;
  }
  // Hooks run in the reverse order of their making, so this one before the end of `settle_`.
  napi_add_env_cleanup_hook(env, &stop_at_exit, this);
}

StepThread::~StepThread() { stop(); }

void StepThread::post(const Napi::Object& owner, std::unique_ptr<Task> task) {
  task->owner_ = Napi::Persistent(owner);
  if (n_pending_++ == 0) settle_.Ref(env_);
  {
    const std::lock_guard lock(mutex_);
    waiting_.push_back(std::move(task));
    n_waiting_++;
  }
  posted_.notify_one();
}

void StepThread::stop() {
  if (std::exchange(stopped_, true)) return;
  napi_remove_env_cleanup_hook(env_, &stop_at_exit, this);
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  posted_.notify_one();
  thread_.join();
  waiting_.clear();
  settle_.Release();
}

void StepThread::loop() {
  for (;;) {
    std::unique_ptr<Task> task;
    {
      std::unique_lock lock(mutex_);
      posted_.wait(lock, [&] { return !waiting_.empty() || stopping_.load(); });
      if (stopping_) return;
      task = std::move(waiting_.front());
      waiting_.pop_front();
      n_waiting_--;
    }
    task->work(stopping_);
    settle_.NonBlockingCall(task.release());
    if (spins_) spin_until([&] { return n_waiting_ > 0 || stopping_; });
  }
}

void StepThread::settle(Napi::Env env, Napi::Function, StepThread* self, Task* given) {
  const std::unique_ptr<Task> task(given);
  // Without an environment there is nobody left to tell.
  if (env == nullptr) return;
  if (!self->stopped_ && --self->n_pending_ == 0) self->settle_.Unref(env);
  task->settle(env);
}

}  // namespace golgi
