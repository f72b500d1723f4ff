#include "memory.h"

#include <new>
#include <utility>

#include "red_zone.h"

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#else
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace golgi {

namespace {

#ifdef _WIN32

void* allocate(int64_t bytes) {
  return VirtualAlloc(nullptr, static_cast<SIZE_T>(bytes), MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
}

void release(void* data, int64_t) { VirtualFree(data, 0, MEM_RELEASE); }

void discard(void* data, int64_t bytes) { DiscardVirtualMemory(data, static_cast<SIZE_T>(bytes)); }

int64_t system_page_bytes() {
  SYSTEM_INFO info;
  GetSystemInfo(&info);
  return info.dwPageSize;
}

#else

void* allocate(int64_t bytes) {
  void* data = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return data == MAP_FAILED ? nullptr : data;
}

void release(void* data, int64_t bytes) { munmap(data, static_cast<size_t>(bytes)); }

void discard(void* data, int64_t bytes) {
#ifdef __APPLE__
  madvise(data, static_cast<size_t>(bytes), MADV_FREE);
#else
  madvise(data, static_cast<size_t>(bytes), MADV_DONTNEED);
#endif
}

int64_t system_page_bytes() { return sysconf(_SC_PAGESIZE); }

#endif

int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

}  // namespace

Block::Block(int64_t bytes) {
  if (bytes <= 0) return;
  const int64_t rounded = round_up(bytes, system_page_bytes());
  data_ = static_cast<uint8_t*>(allocate(rounded));
  if (data_ == nullptr) throw std::bad_alloc();
  size_bytes_ = rounded;
}

Block::~Block() {
  if (data_ == nullptr) return;
  allow(data_, size_bytes_);
  release(data_, size_bytes_);
}

Block::Block(Block&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_bytes_(std::exchange(other.size_bytes_, 0)) {}

Block& Block::operator=(Block&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_bytes_, other.size_bytes_);
  return *this;
}

void Block::grow(int64_t bytes) {
  if (bytes <= size_bytes_) return;
  // The former block goes first, so that both never exist at once.
  { Block former = std::move(*this); }
  *this = Block(bytes);
}

void Block::discard_from(int64_t from) {
  const int64_t begin = round_up(from, system_page_bytes());
  if (begin < size_bytes_) discard(data_ + begin, size_bytes_ - begin);
}

}  // namespace golgi
