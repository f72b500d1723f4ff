#pragma once

#include <napi.h>

#include <map>
#include <memory>
#include <vector>

#include "engine.h"
#include "mapped_file.h"
#include "step_thread.h"

namespace golgi {

/// JavaScript's MappedFile. Engines that bound it keep the bytes after it is closed.
class MappedFileObject final : public Napi::ObjectWrap<MappedFileObject> {
 public:
  static Napi::Function define(Napi::Env env);
  /// The file of a MappedFile; throws std::invalid_argument for anything else and for one that is closed.
  static std::shared_ptr<const MappedFile> unwrap(const Napi::Value& value);

  explicit MappedFileObject(const Napi::CallbackInfo& info);

 private:
  Napi::Value size_bytes(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::shared_ptr<const MappedFile> file_;
  double size_bytes_ = 0;
};

/// JavaScript's Engine: checks what it is given, and runs steps off the event loop.
class EngineObject final : public Napi::ObjectWrap<EngineObject> {
 public:
  static Napi::Function define(Napi::Env env);

  explicit EngineObject(const Napi::CallbackInfo& info);

 private:
  friend class CloseTask;

  Napi::Value kernels(const Napi::CallbackInfo& info);
  Napi::Value bind_weight(const Napi::CallbackInfo& info);
  Napi::Value bind_weight_data(const Napi::CallbackInfo& info);
  Napi::Value bind_cache(const Napi::CallbackInfo& info);
  Napi::Value reserve(const Napi::CallbackInfo& info);
  Napi::Value copy_pages(const Napi::CallbackInfo& info);
  Napi::Value trim(const Napi::CallbackInfo& info);
  Napi::Value compile(const Napi::CallbackInfo& info);
  Napi::Value release(const Napi::CallbackInfo& info);
  Napi::Value run(const Napi::CallbackInfo& info);
  Napi::Value close(const Napi::CallbackInfo& info);

  /// Throws std::runtime_error once the engine is closed.
  Engine& engine() const;

  std::shared_ptr<Engine> engine_;
  std::unique_ptr<StepThread> thread_;
  std::map<int64_t, std::shared_ptr<const Program>> programs_;
  int64_t n_programs_ = 0;
  /// Arrays whose elements are bound as weights.
  std::vector<Napi::ObjectReference> weight_data_;
  Napi::ObjectReference closing_;
};

}  // namespace golgi
