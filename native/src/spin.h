// Waiting for another thread without giving up the processor: waking a thread that sleeps takes tens of microseconds,
// longer than many ops take.
#pragma once

#include <chrono>
#include <thread>

#if defined(_M_X64) || defined(__x86_64__)
#include <immintrin.h>
#elif defined(_M_ARM64)
#include <intrin.h>
#endif

namespace golgi {

/// Tens of microseconds: longer than the gaps within a step, far shorter than a time slice.
constexpr int n_spins = 2000;
/// After this long without work a thread should sleep, so that an idle engine burns no CPU.
constexpr std::chrono::milliseconds idle_before_sleep{2};

inline void pause() {
#if defined(_M_X64) || defined(__x86_64__)
  _mm_pause();
#elif defined(_M_ARM64)
  __yield();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/// Spins, and after a while lets other threads run in between, until `holds()`; gives up after about 2 ms.
template <class Condition>
bool spin_until(const Condition& holds) {
  for (int i = 0; i < n_spins; i++) {
    if (holds()) return true;
    pause();
  }
  const auto until = std::chrono::steady_clock::now() + idle_before_sleep;
  while (std::chrono::steady_clock::now() < until) {
    if (holds()) return true;
    std::this_thread::yield();
  }
  return false;
}

}  // namespace golgi
