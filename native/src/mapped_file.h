#pragma once

#include <cstdint>
#include <memory>
#include <string>

namespace golgi {

/// The bytes of a file, mapped into memory for reading; the system loads them when they are touched. The file must
/// not be cut short meanwhile: the system ends a process that reads beyond its end.
class MappedFile {
 public:
  /// Throws std::system_error where the file cannot be opened or mapped, or is not a regular file.
  static std::shared_ptr<const MappedFile> open(const std::string& path);

  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  const uint8_t* data() const { return data_; }
  int64_t size_bytes() const { return size_bytes_; }

 private:
  MappedFile(const uint8_t* data, int64_t size_bytes) : data_(data), size_bytes_(size_bytes) {}

  const uint8_t* data_;
  int64_t size_bytes_;
};

}  // namespace golgi
