#include "addon_values.h"

#include <cmath>

namespace golgi {

namespace {

std::string shown(const Napi::Value& value) {
  if (value.IsNumber() || value.IsNull() || value.IsUndefined() || value.IsBoolean()) return value.ToString();
  if (value.IsString()) return '"' + value.ToString().Utf8Value() + '"';
  return value.IsFunction() ? "a function" : value.IsTypedArray() ? "another typed array" : "another kind of value";
}

[[noreturn]] void fail(const char* name, const std::string& expected, const Napi::Value& value) {
  throw std::invalid_argument(std::string(name) + " must be " + expected + "; got " + shown(value));
}

template <class Element>
std::span<const Element> to_span(const Napi::Value& value, napi_typedarray_type type, const char* name,
                                 const char* type_name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) fail(name, type_name, value);
  const auto array = value.As<Napi::TypedArrayOf<Element>>();
  return {array.Data(), array.ElementLength()};
}

}  // namespace

int64_t to_integer(const Napi::Value& value, const char* name, int64_t least, int64_t most) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : std::nan("");
  // Beyond 2^53 a double may stand for several integers.
  if (std::trunc(number) != number || std::abs(number) > 0x1p53) fail(name, "an integer", value);
  const int64_t integer = static_cast<int64_t>(number);
  if (integer < least || integer > most) {
    throw std::out_of_range(std::string(name) + " must be from " + std::to_string(least) + " to " +
                            std::to_string(most) + "; got " + std::to_string(integer));
  }
  return integer;
}

std::string to_text(const Napi::Value& value, const char* name) {
  if (!value.IsString()) fail(name, "a string", value);
  return value.As<Napi::String>().Utf8Value();
}

int32_t to_choice(const Napi::Value& value, const char* name, std::span<const char* const> names) {
  const std::string text = to_text(value, name);
  std::string known;
  for (size_t i = 0; i < names.size(); i++) {
    if (text == names[i]) return static_cast<int32_t>(i);
    known += (i == 0 ? "" : i + 1 < names.size() ? ", " : " or ") + std::string(names[i]);
  }
  fail(name, known, value);
}

Napi::Object to_object(const Napi::Value& value, const char* name) {
  if (!value.IsObject()) fail(name, "an object", value);
  return value.As<Napi::Object>();
}

std::span<const int32_t> to_ints(const Napi::Value& value, const char* name) {
  return to_span<int32_t>(value, napi_int32_array, name, "an Int32Array");
}

std::span<const float> to_floats(const Napi::Value& value, const char* name) {
  return to_span<float>(value, napi_float32_array, name, "a Float32Array");
}

std::span<const double> to_doubles(const Napi::Value& value, const char* name) {
  return to_span<double>(value, napi_float64_array, name, "a Float64Array");
}

std::vector<int32_t> copy_ints(const Napi::Value& value, const char* name) {
  const std::span<const int32_t> ints = to_ints(value, name);
  return {ints.begin(), ints.end()};
}

std::vector<float> copy_floats(const Napi::Value& value, const char* name) {
  const std::span<const float> floats = to_floats(value, name);
  return {floats.begin(), floats.end()};
}

}  // namespace golgi
