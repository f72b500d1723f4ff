#include "probe_addon.h"

#include "addon_values.h"
#include "probe.h"

namespace golgi {

Napi::Value probe_ceiling(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const std::string kind = to_text(info[0], "kind");
    const int n_threads = static_cast<int>(to_integer(info[1], "threads", 1, 256));
    const double seconds = info[2].IsNumber() ? info[2].As<Napi::Number>().DoubleValue() : 0;
    if (!(seconds > 0 && seconds <= 10)) throw std::out_of_range("seconds must be more than 0 and at most 10");
    const Ceiling ceiling = probe(kind, n_threads, seconds);
    if (ceiling.instruction == nullptr) return env.Undefined();
    const Napi::Object result = Napi::Object::New(env);
    result.Set("perSecond", ceiling.per_second);
    result.Set("instruction", ceiling.instruction);
    return result;
  });
}

Napi::Value probe_touch(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return guarded(env, [&]() -> Napi::Value {
    const std::string path = to_text(info[0], "path");
    const int n_threads = static_cast<int>(to_integer(info[1], "threads", 1, 256));
    return Napi::Number::New(env, touch(path, n_threads));
  });
}

}  // namespace golgi
