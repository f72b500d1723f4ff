#include "addon_engine.h"

#include <array>
#include <limits>
#include <string>
#include <thread>

#include "addon_values.h"
#include "cpu.h"
#include "run_task.h"

namespace golgi {

namespace {

constexpr int64_t max_count = std::numeric_limits<int32_t>::max();
constexpr int64_t max_threads = 1024;
constexpr std::array kv_type_names{"f32", "f16"};

const KernelTable& choose_kernels(const Napi::Value& isa) {
  const std::vector<const KernelTable*>& tables = runnable_tables();
  if (isa.IsUndefined()) return *tables.front();
  std::vector<const char*> names;
  for (const KernelTable* table : tables) names.push_back(table->isa);
  return *tables[static_cast<size_t>(to_choice(isa, "isa", names))];
}

Format to_format(const Napi::Value& value) {
  std::vector<const char*> names;
  for (const FormatInfo& info : format_infos) names.push_back(info.name);
  return Format{to_choice(value, "format", names)};
}

Bytes bytes_of_file(const Napi::Object& object) {
  const std::shared_ptr<const MappedFile> file = MappedFileObject::unwrap(object.Get("file"));
  return {file, file->data(), file->size_bytes()};
}

int64_t file_integer(const Napi::Object& object, const char* name) {
  return to_integer(object.Get(name), name, 0, int64_t{1} << 53);
}

ScalesSource to_scales(const Napi::Value& value) {
  const Napi::Object scales = to_object(value, "scales");
  return {bytes_of_file(scales), file_integer(scales, "offset"), file_integer(scales, "rowBytes"),
          file_integer(scales, "rowsPerScale"), file_integer(scales, "firstRow")};
}

SegmentSource to_segment(const Napi::Value& value) {
  const Napi::Object segment = to_object(value, "a segment");
  SegmentSource source{bytes_of_file(segment),
                       file_integer(segment, "offset"),
                       file_integer(segment, "rowBytes"),
                       file_integer(segment, "firstRow"),
                       file_integer(segment, "nRows"),
                       std::nullopt,
                       std::nullopt};
  const Napi::Value stored_rows = segment.Get("storedRows");
  if (!stored_rows.IsUndefined()) source.stored_rows = copy_ints(stored_rows, "storedRows");
  const Napi::Value scales = segment.Get("scales");
  if (!scales.IsUndefined()) source.scales = to_scales(scales);
  return source;
}

}  // namespace

/// Copies pages of the caches after the steps that were asked for before, and before those that come after.
class CopyTask final : public Task {
 public:
  CopyTask(std::shared_ptr<const PageTables> pages, std::vector<int32_t> from, std::vector<int32_t> to)
      : pages_(std::move(pages)), from_(std::move(from)), to_(std::move(to)) {
    if (from_.size() != to_.size()) throw std::invalid_argument("every page that is copied must have a target");
    for (const std::vector<int32_t>& list : {from_, to_}) {
      for (const int32_t page : list) {
        if (page >= 0 && page < pages_->n_pages) continue;
        throw std::out_of_range("pages must be reserved; got " + std::to_string(page));
      }
    }
  }

  void work(const std::atomic<bool>&) noexcept override {
    for (size_t i = 0; i < from_.size(); i++) pages_->copy(from_[i], to_[i]);
    pages_.reset();
  }

  void settle(Napi::Env) override {}

 private:
  std::shared_ptr<const PageTables> pages_;
  std::vector<int32_t> from_, to_;
};

/// Comes after all steps that were asked for, and so is the time to free everything.
class CloseTask final : public Task {
 public:
  CloseTask(Napi::Env env, EngineObject& object)
      : object_(object), engine_(std::move(object.engine_)), deferred_(Napi::Promise::Deferred::New(env)) {}

  Napi::Value promise() const { return deferred_.Promise(); }

  void work(const std::atomic<bool>&) noexcept override { engine_.reset(); }

  void settle(Napi::Env env) override {
    object_.thread_->stop();
    object_.weight_data_.clear();
    deferred_.Resolve(env.Undefined());
  }

 private:
  EngineObject& object_;
  std::shared_ptr<Engine> engine_;
  Napi::Promise::Deferred deferred_;
};

Napi::Function EngineObject::define(Napi::Env env) {
  return DefineClass(env, "Engine",
                     {
                         InstanceMethod<&EngineObject::kernels>("kernels"),
                         InstanceMethod<&EngineObject::bind_weight>("bindWeight"),
                         InstanceMethod<&EngineObject::bind_weight_data>("bindWeightData"),
                         InstanceMethod<&EngineObject::bind_cache>("bindCache"),
                         InstanceMethod<&EngineObject::reserve>("reserve"),
                         InstanceMethod<&EngineObject::copy_pages>("copyPages"),
                         InstanceMethod<&EngineObject::trim>("trim"),
                         InstanceMethod<&EngineObject::compile>("compile"),
                         InstanceMethod<&EngineObject::release>("release"),
                         InstanceMethod<&EngineObject::run>("run"),
                         InstanceMethod<&EngineObject::close>("close"),
                     });
}

EngineObject::EngineObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  guarded(info.Env(), [&] {
    const int64_t n_threads = to_integer(info[0], "threads", 1, max_threads);
    engine_ = std::make_shared<Engine>(static_cast<int>(n_threads), choose_kernels(info[1]));
    const bool spins = n_threads < static_cast<int64_t>(std::thread::hardware_concurrency());
    thread_ = std::make_unique<StepThread>(info.Env(), spins);
  });
}

Engine& EngineObject::engine() const {
  if (engine_ == nullptr) throw Napi::Error::New(Env(), "the engine must be open; got a closed one");
  return *engine_;
}

Napi::Value EngineObject::kernels(const Napi::CallbackInfo& info) {
  const Napi::Array opcodes = Napi::Array::New(info.Env());
  for (int32_t opcode = 0; opcode < n_opcodes; opcode++) {
    if (engine().kernels().has(opcode)) opcodes.Set(opcodes.Length(), Napi::Number::New(info.Env(), opcode));
  }
  return opcodes;
}

Napi::Value EngineObject::bind_weight(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const Format format = to_format(info[0]);
    const int64_t n_rows = to_integer(info[1], "nRows", 1, max_count);
    const int64_t n_cols = to_integer(info[2], "nCols", 1, max_count);
    std::vector<SegmentSource> segments = to_list(info[3], "segments", &to_segment);
    auto weight = std::make_shared<const BoundWeight>(format, n_rows, n_cols, std::move(segments));
    return Napi::Number::New(info.Env(), engine().bind(std::move(weight)));
  });
}

Napi::Value EngineObject::bind_weight_data(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    const int64_t n_rows = to_integer(info[0], "nRows", 1, max_count);
    const int64_t n_cols = to_integer(info[1], "nCols", 1, max_count);
    const std::span<const float> data = to_floats(info[2], "data");
    const auto* bytes = reinterpret_cast<const uint8_t*>(data.data());
    SegmentSource source{{nullptr, bytes, static_cast<int64_t>(data.size_bytes())}, 0, 4 * n_cols, 0, n_rows, {}, {}};
    std::vector<SegmentSource> segments;
    segments.push_back(std::move(source));
    auto weight = std::make_shared<const BoundWeight>(Format::f32, n_rows, n_cols, std::move(segments));
    const int32_t index = engine().bind(std::move(weight));
    weight_data_.push_back(Napi::Persistent(info[2].As<Napi::Object>()));
    return Napi::Number::New(info.Env(), index);
  });
}

Napi::Value EngineObject::bind_cache(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    // Far above any model, and such that no size of a page overflows.
    constexpr int64_t max_dim = 1 << 20;
    const int64_t n_kv_heads = to_integer(info[0], "nKvHeads", 1, max_dim);
    const int64_t d_k = to_integer(info[1], "dK", 1, max_dim);
    const int64_t d_v = to_integer(info[2], "dV", 1, max_dim);
    const KvType type{to_choice(info[3], "type", kv_type_names)};
    return Napi::Number::New(info.Env(), engine().pages().add_layer({type, n_kv_heads, d_k, d_v}));
  });
}

Napi::Value EngineObject::reserve(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    engine().pages().reserve(to_integer(info[0], "nPages", 0, max_count));
    return info.Env().Undefined();
  });
}

Napi::Value EngineObject::copy_pages(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    std::vector<int32_t> from = copy_ints(info[0], "from"), to = copy_ints(info[1], "to");
    auto task = std::make_unique<CopyTask>(engine().pages().tables(), std::move(from), std::move(to));
    thread_->post(Value(), std::move(task));
    return info.Env().Undefined();
  });
}

Napi::Value EngineObject::trim(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    engine().pages().trim(to_integer(info[0], "nPages", 0, max_count));
    return info.Env().Undefined();
  });
}

Napi::Value EngineObject::compile(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    ProgramSource source{to_ints(info[0], "words"), {}, {}, copy_ints(info[3], "caches")};
    for (const int32_t index : to_ints(info[1], "weights")) source.weights.push_back(engine().weight(index));
    const auto floats = [](const Napi::Value& value) { return copy_floats(value, "a constant"); };
    source.constants = to_list(info[2], "constants", floats);
    programs_[n_programs_] = engine().compile(std::move(source));
    return Napi::Number::New(info.Env(), static_cast<double>(n_programs_++));
  });
}

Napi::Value EngineObject::release(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    programs_.erase(to_integer(info[0], "program", 0, max_count));
    return info.Env().Undefined();
  });
}

Napi::Value EngineObject::run(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    engine();
    const auto found = programs_.find(to_integer(info[0], "program", 0, max_count));
    if (found == programs_.end()) throw std::out_of_range("a program must be compiled and not released");
    auto task = std::make_unique<RunTask>(engine_, found->second, to_object(info[1], "step"), info[2]);
    const Napi::Value promise = task->promise();
    thread_->post(Value(), std::move(task));
    return promise;
  });
}

Napi::Value EngineObject::close(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&] {
    if (closing_.IsEmpty()) {
      programs_.clear();
      auto task = std::make_unique<CloseTask>(info.Env(), *this);
      closing_ = Napi::Persistent(task->promise().As<Napi::Object>());
      thread_->post(Value(), std::move(task));
    }
    return closing_.Value().As<Napi::Value>();
  });
}

}  // namespace golgi
