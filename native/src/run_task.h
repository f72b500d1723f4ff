#pragma once

#include <napi.h>

#include <exception>
#include <memory>

#include "engine.h"
#include "step_thread.h"

namespace golgi {

/// One run of a program: checks and copies the step that JavaScript gives, so that only the outputs and the cancel flag
/// stay in JavaScript's memory, runs it, and settles a promise: true, or false where it was cancelled.
class RunTask final : public Task {
 public:
  /// Throws std::invalid_argument or std::out_of_range where the step does not fit.
  RunTask(std::shared_ptr<Engine> engine, std::shared_ptr<const Program> program, const Napi::Object& step,
          const Napi::Value& cancel);

  Napi::Value promise() const { return deferred_.Promise(); }

  void work(const std::atomic<bool>& stopping) noexcept override;
  void settle(Napi::Env env) override;

 private:
  std::shared_ptr<Engine> engine_;
  std::shared_ptr<const Program> program_;
  std::shared_ptr<const PageTables> pages_;
  Step step_;
  const volatile int32_t* cancel_;
  /// What the run reads and writes of JavaScript's memory must not be collected meanwhile.
  std::vector<Napi::ObjectReference> out_references_;
  Napi::ObjectReference cancel_reference_;
  Napi::Promise::Deferred deferred_;
  bool finished_ = false;
  std::exception_ptr failure_;
};

}  // namespace golgi
