#include <napi.h>

#include "addon_engine.h"
#include "addon_values.h"
#include "cpu.h"
#include "probe_addon.h"

namespace golgi {

namespace {

Napi::Value isas(const Napi::CallbackInfo& info) {
  const Napi::Array names = Napi::Array::New(info.Env());
  for (const KernelTable* table : runnable_tables()) {
    names.Set(names.Length(), Napi::String::New(info.Env(), table->isa));
  }
  return names;
}

Napi::Value count_cores(const Napi::CallbackInfo& info) { return Napi::Number::New(info.Env(), n_physical_cores()); }

/// Everything that belongs to one environment, since each worker of Node loads the addon anew.
class Addon final : public Napi::Addon<Addon> {
 public:
  Addon(Napi::Env env, Napi::Object exports) {
    file_class_ = Napi::Persistent(MappedFileObject::define(env));
    exports.Set("isas", Napi::Function::New(env, &isas, "isas"));
    exports.Set("nPhysicalCores", Napi::Function::New(env, &count_cores, "nPhysicalCores"));
    exports.Set("probe", Napi::Function::New(env, &probe_ceiling, "probe"));
    exports.Set("touch", Napi::Function::New(env, &probe_touch, "touch"));
    exports.Set("Engine", EngineObject::define(env));
    DefineAddon(exports, {InstanceMethod<&Addon::map_file>("mapFile")});
  }

 private:
  Napi::Value map_file(const Napi::CallbackInfo& info) { return file_class_.New({info[0]}); }

  Napi::FunctionReference file_class_;
};

}  // namespace

}  // namespace golgi

using golgi::Addon;
NODE_API_ADDON(Addon)
