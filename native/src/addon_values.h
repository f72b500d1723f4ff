// Reads JavaScript values with one rule: what does not fit is an error that says what was expected and what came.
#pragma once

#include <napi.h>

#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace golgi {

int64_t to_integer(const Napi::Value& value, const char* name, int64_t least, int64_t most);
std::string to_text(const Napi::Value& value, const char* name);
/// Index of the text among `names`.
int32_t to_choice(const Napi::Value& value, const char* name, std::span<const char* const> names);
Napi::Object to_object(const Napi::Value& value, const char* name);

/// The elements of typed arrays, where JavaScript keeps them.
std::span<const int32_t> to_ints(const Napi::Value& value, const char* name);
std::span<const float> to_floats(const Napi::Value& value, const char* name);
std::span<const double> to_doubles(const Napi::Value& value, const char* name);

/// Calls `read(element)` for each element of an array.
template <class Read>
auto to_list(const Napi::Value& value, const char* name, const Read& read) {
  if (!value.IsArray()) throw std::invalid_argument(std::string(name) + " must be an array");
  const Napi::Array array = value.As<Napi::Array>();
  std::vector<decltype(read(value))> list;
  list.reserve(array.Length());
  for (uint32_t i = 0; i < array.Length(); i++) list.push_back(read(array.Get(i)));
  return list;
}

std::vector<int32_t> copy_ints(const Napi::Value& value, const char* name);
std::vector<float> copy_floats(const Napi::Value& value, const char* name);

/// Runs a function's body; C++'s exceptions become JavaScript's.
template <class Body>
auto guarded(Napi::Env env, const Body& body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::out_of_range& error) {
    throw Napi::RangeError::New(env, error.what());
  } catch (const std::invalid_argument& error) {
    throw Napi::TypeError::New(env, error.what());
  } catch (const std::bad_alloc&) {
    throw Napi::Error::New(env, "golgi: the system has no more memory");
  } catch (const std::system_error& error) {
    Napi::Error made = Napi::Error::New(env, error.what());
    made.Set("errno", Napi::Number::New(env, error.code().value()));
    throw made;
  } catch (const std::exception& error) {
    throw Napi::Error::New(env, error.what());
  }
}

}  // namespace golgi
