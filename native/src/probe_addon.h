#pragma once

#include <napi.h>

namespace golgi {

/// probe(kind, threads, seconds): the ceiling, or undefined where the CPU has no such instruction. The calling thread
/// is one of those that are kept busy, so nothing else of its environment runs meanwhile.
Napi::Value probe_ceiling(const Napi::CallbackInfo& info);

/// touch(path, threads): seconds until each byte of a mapped file has been read once.
Napi::Value probe_touch(const Napi::CallbackInfo& info);

}  // namespace golgi
