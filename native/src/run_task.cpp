#include "run_task.h"

#include "addon_values.h"

namespace golgi {

namespace {

Step to_step(const Napi::Object& object) {
  Step step;
  step.sequence = copy_ints(object.Get("sequence"), "sequence");
  step.position = copy_ints(object.Get("position"), "position");
  step.rope_variant = copy_ints(object.Get("ropeVariant"), "ropeVariant");
  const auto list_of_ints = [](const Napi::Value& value) { return copy_ints(value, "an element"); };
  step.pages = to_list(object.Get("pages"), "pages", list_of_ints);
  step.ints = to_list(object.Get("ints"), "ints", list_of_ints);
  const Napi::Value out = object.Get("out");
  if (!out.IsArrayBuffer()) throw std::invalid_argument("out must be an ArrayBuffer");
  step.out = static_cast<uint8_t*>(out.As<Napi::ArrayBuffer>().Data());
  step.out_bytes = static_cast<int64_t>(out.As<Napi::ArrayBuffer>().ByteLength());
  for (const double offset : to_doubles(object.Get("outOffsets"), "outOffsets")) {
    // Compared as doubles: not every double is an int64.
    const bool fits = offset >= 0 && offset <= static_cast<double>(step.out_bytes);
    step.out_offset.push_back(fits ? static_cast<int64_t>(offset) : -1);
  }
  return step;
}

const int32_t* to_cancel_flag(const Napi::Value& cancel) {
  const std::span<const int32_t> ints = to_ints(cancel, "cancel");
  if (ints.empty()) throw std::invalid_argument("cancel must have an element");
  return ints.data();
}

}  // namespace

RunTask::RunTask(std::shared_ptr<Engine> engine, std::shared_ptr<const Program> program, const Napi::Object& step,
                 const Napi::Value& cancel)
    : engine_(std::move(engine)),
      program_(std::move(program)),
      pages_(engine_->pages().tables()),
      step_(to_step(step)),
      cancel_(to_cancel_flag(cancel)),
      out_reference_(Napi::Persistent(step.Get("out").As<Napi::Object>())),
      cancel_reference_(Napi::Persistent(cancel.As<Napi::Object>())),
      deferred_(Napi::Promise::Deferred::New(step.Env())) {
  check_step(step_, *program_, pages_->n_pages);
}

void RunTask::work(const std::atomic<bool>& stopping) noexcept {
  try {
    finished_ = engine_->run(*program_, step_, *pages_, [&] { return *cancel_ != 0 || stopping.load(); });
  } catch (...) {
    failure_ = std::current_exception();
  }
  // What the run kept alive may be large; it goes here rather than on the event loop.
  pages_.reset();
  program_.reset();
  engine_.reset();
}

void RunTask::settle(Napi::Env env) {
  if (!failure_) return deferred_.Resolve(Napi::Boolean::New(env, finished_));
  try {
    guarded(env, [&] { std::rethrow_exception(failure_); });
  } catch (const Napi::Error& error) {
    deferred_.Reject(error.Value());
  } catch (const std::exception& error) {
    deferred_.Reject(Napi::Error::New(env, error.what()).Value());
  }
}

}  // namespace golgi
