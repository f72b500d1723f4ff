// Lets AddressSanitizer see the borders inside one large block; costs nothing in other builds.
#pragma once

#include <cstdint>

#if defined(__SANITIZE_ADDRESS__)
#define GOLGI_HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GOLGI_HAS_ASAN 1
#endif
#endif

#ifdef GOLGI_HAS_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace golgi {

#ifdef GOLGI_HAS_ASAN
constexpr int64_t red_zone_bytes = 64;
inline void forbid(const void* data, int64_t bytes) { ASAN_POISON_MEMORY_REGION(data, static_cast<size_t>(bytes)); }
inline void allow(const void* data, int64_t bytes) { ASAN_UNPOISON_MEMORY_REGION(data, static_cast<size_t>(bytes)); }
#else
constexpr int64_t red_zone_bytes = 0;
inline void forbid(const void*, int64_t) {}
inline void allow(const void*, int64_t) {}
#endif

}  // namespace golgi
