// Memory straight from the operating system: what is freed leaves the process at once, which matters where page
// caches come and go by the gigabyte.
#pragma once

#include <cstdint>

namespace golgi {

/// Zeroed pages, aligned to a page of the system; they occupy physical memory only once they are touched.
class Block {
 public:
  Block() = default;
  /// Throws std::bad_alloc where the system has no more.
  explicit Block(int64_t bytes);
  ~Block();
  Block(Block&& other) noexcept;
  Block& operator=(Block&& other) noexcept;
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  uint8_t* data() const { return data_; }
  int64_t size_bytes() const { return size_bytes_; }

  /// At least this many bytes; what the block held is lost where it grows.
  void grow(int64_t bytes);

  /// Gives the physical memory of [from, end) back, as far as it covers whole pages. Its content is lost.
  void discard_from(int64_t from);

 private:
  uint8_t* data_ = nullptr;
  int64_t size_bytes_ = 0;
};

}  // namespace golgi
