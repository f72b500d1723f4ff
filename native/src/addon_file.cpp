#include "addon_engine.h"
#include "addon_values.h"

namespace golgi {

namespace {

/// Marks objects that really hold a MappedFileObject; a prototype can be given to any object.
constexpr napi_type_tag file_tag{0x5f3a1e0c8b7d4296, 0x91c4e2a7d06b58f3};

}  // namespace

Napi::Function MappedFileObject::define(Napi::Env env) {
  return DefineClass(env, "MappedFile",
                     {InstanceAccessor<&MappedFileObject::size_bytes>("sizeBytes"),
                      InstanceMethod<&MappedFileObject::close>("close")});
}

MappedFileObject::MappedFileObject(const Napi::CallbackInfo& info) : ObjectWrap(info) {
  guarded(info.Env(), [&] {
    file_ = MappedFile::open(to_text(info[0], "path"));
    size_bytes_ = static_cast<double>(file_->size_bytes());
    info.This().As<Napi::Object>().TypeTag(&file_tag);
  });
}

std::shared_ptr<const MappedFile> MappedFileObject::unwrap(const Napi::Value& value) {
  if (!value.IsObject() || !value.As<Napi::Object>().CheckTypeTag(&file_tag)) {
    throw std::invalid_argument("file must be a MappedFile");
  }
  const std::shared_ptr<const MappedFile>& file = Unwrap(value.As<Napi::Object>())->file_;
  if (file == nullptr) throw std::invalid_argument("file must be open; got a closed one");
  return file;
}

Napi::Value MappedFileObject::size_bytes(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), size_bytes_);
}

void MappedFileObject::close(const Napi::CallbackInfo&) { file_.reset(); }

}  // namespace golgi
