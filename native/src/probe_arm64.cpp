// Peak loops for arm64; see probe_x86.cpp.
#include "probe.h"

#if defined(__aarch64__) || defined(_M_ARM64)

#include <arm_neon.h>

#include <cstdint>

#if defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__linux__)
#include <sys/auxv.h>
#endif

#ifdef _MSC_VER
#define GOLGI_TARGET(features)
#elif defined(__clang__)
#define GOLGI_TARGET(features) __attribute__((target(features)))
#else
#define GOLGI_TARGET(features) __attribute__((target("+" features)))
#endif

namespace golgi {

namespace {

/// Enough to fill four pipes at a latency of 4.
constexpr int n_sums = 16;

void f32_neon(int n_rounds, const uint8_t* operands, uint8_t* result) {
  const auto* floats = reinterpret_cast<const float*>(operands);
  const float32x4_t x = vld1q_f32(floats), w = vld1q_f32(floats + 4);
  float32x4_t sums[n_sums];
  for (int i = 0; i < n_sums; i++) sums[i] = vdupq_n_f32(static_cast<float>(i));
  for (int round = 0; round < n_rounds; round++) {
    for (int i = 0; i < n_sums; i++) sums[i] = vfmaq_f32(sums[i], x, w);
  }
  for (int i = 1; i < n_sums; i++) sums[0] = vaddq_f32(sums[0], sums[i]);
  vst1q_f32(reinterpret_cast<float*>(result), sums[0]);
}

GOLGI_TARGET("dotprod") void int8_dotprod(int n_rounds, const uint8_t* operands, uint8_t* result) {
  const auto* bytes = reinterpret_cast<const int8_t*>(operands);
  const int8x16_t x = vld1q_s8(bytes), w = vld1q_s8(bytes + 16);
  int32x4_t sums[n_sums];
  for (int i = 0; i < n_sums; i++) sums[i] = vdupq_n_s32(i);
  for (int round = 0; round < n_rounds; round++) {
    for (int i = 0; i < n_sums; i++) sums[i] = vdotq_s32(sums[i], x, w);
  }
  for (int i = 1; i < n_sums; i++) sums[0] = vaddq_s32(sums[0], sums[i]);
  vst1q_s32(reinterpret_cast<int32_t*>(result), sums[0]);
}

#if defined(__APPLE__)

bool has_dotprod() {
  int present = 0;
  size_t size = sizeof present;
  return sysctlbyname("hw.optional.arm.FEAT_DotProd", &present, &size, nullptr, 0) == 0 && present != 0;
}

#elif defined(__linux__)

/// HWCAP_ASIMDDP of the kernel's interface, which older headers lack.
bool has_dotprod() { return (getauxval(AT_HWCAP) & 1ul << 20) != 0; }

#else

bool has_dotprod() { return false; }

#endif

}  // namespace

PeakLoop peak_loop(const std::string& kind) {
  if (kind == "f32") return {"fmla v.4s", n_sums * 4 * 2, f32_neon};
  if (kind == "int8" && has_dotprod()) return {"sdot v.4s", n_sums * 16 * 2, int8_dotprod};
  return {};
}

}  // namespace golgi

#endif
