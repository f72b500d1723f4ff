#include "run_task.h"

#include "addon_values.h"

namespace golgi {

namespace {

std::vector<Napi::ArrayBuffer> to_blocks(const Napi::Value& out) {
  return to_list(out, "out", [](const Napi::Value& block) {
    if (!block.IsArrayBuffer()) throw std::invalid_argument("out must hold ArrayBuffers");
    return block.As<Napi::ArrayBuffer>();
  });
}

std::vector<OutputPlace> to_outputs(const Napi::Object& step) {
  std::vector<OutputPlace> blocks;
  for (Napi::ArrayBuffer& block : to_blocks(step.Get("out"))) {
    blocks.push_back({static_cast<uint8_t*>(block.Data()), static_cast<int64_t>(block.ByteLength()), 0});
  }
  const std::span<const int32_t> block_of = to_ints(step.Get("outBlocks"), "outBlocks");
  const std::span<const double> offsets = to_doubles(step.Get("outOffsets"), "outOffsets");
  if (block_of.size() != offsets.size()) throw std::invalid_argument("every output must have a block and an offset");
  std::vector<OutputPlace> places;
  places.reserve(offsets.size());
  for (size_t i = 0; i < offsets.size(); i++) {
    const size_t index = static_cast<size_t>(block_of[i]);
    if (index >= blocks.size()) throw std::out_of_range("outBlocks must count the blocks of out");
    OutputPlace place = blocks[index];
    // Compared as doubles: not every double is an int64.
    const bool fits = offsets[i] >= 0 && offsets[i] <= static_cast<double>(place.block_bytes);
    place.offset = fits ? static_cast<int64_t>(offsets[i]) : -1;
    places.push_back(place);
  }
  return places;
}

Step to_step(const Napi::Object& object) {
  Step step;
  step.sequence = copy_ints(object.Get("sequence"), "sequence");
  step.position = copy_ints(object.Get("position"), "position");
  step.rope_variant = copy_ints(object.Get("ropeVariant"), "ropeVariant");
  const auto list_of_ints = [](const Napi::Value& value) { return copy_ints(value, "an element"); };
  step.pages = to_list(object.Get("pages"), "pages", list_of_ints);
  step.ints = to_list(object.Get("ints"), "ints", list_of_ints);
  step.floats = to_list(object.Get("floats"), "floats", [](const Napi::Value& value) {
    return copy_floats(value, "an element");
  });
  step.outputs = to_outputs(object);
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
      cancel_reference_(Napi::Persistent(cancel.As<Napi::Object>())),
      deferred_(Napi::Promise::Deferred::New(step.Env())) {
  check_step(step_, *program_, pages_->n_pages);
  for (const Napi::ArrayBuffer& block : to_blocks(step.Get("out"))) {
    out_references_.push_back(Napi::Persistent(block.As<Napi::Object>()));
  }
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
