// Peak loops for x86. One file holds them all, each function compiled for its own instructions, since they are asked
// of the CPU one by one and no kernel shares them.
#include "probe.h"

#if defined(__x86_64__) || defined(_M_X64)

#include <immintrin.h>

#include <cstdint>
#include <cstring>

#include "cpu.h"

#ifdef _MSC_VER
#include <intrin.h>
#define GOLGI_TARGET(features)
#else
#include <cpuid.h>
#define GOLGI_TARGET(features) __attribute__((target(features)))
#endif

namespace golgi {

namespace {

/// Enough to fill two ports at a latency of 5 (12 in flight), few enough for the 16 registers of AVX2.
constexpr int n_sums = 12;

GOLGI_TARGET("sse2") void f32_sse2(int n_rounds, const uint8_t* operands, uint8_t* result) {
  const auto* floats = reinterpret_cast<const float*>(operands);
  const __m128 scale = _mm_load_ps(floats), step = _mm_load_ps(floats + 4);
  __m128 sums[n_sums];
  for (int i = 0; i < n_sums; i++) sums[i] = _mm_set1_ps(static_cast<float>(i));
  for (int round = 0; round < n_rounds; round++) {
    for (int i = 0; i < n_sums; i++) sums[i] = _mm_add_ps(_mm_mul_ps(sums[i], scale), step);
  }
  for (int i = 1; i < n_sums; i++) sums[0] = _mm_add_ps(sums[0], sums[i]);
  _mm_store_ps(reinterpret_cast<float*>(result), sums[0]);
}

GOLGI_TARGET("avx2,fma") void f32_avx2(int n_rounds, const uint8_t* operands, uint8_t* result) {
  const auto* floats = reinterpret_cast<const float*>(operands);
  const __m256 scale = _mm256_load_ps(floats), step = _mm256_load_ps(floats + 8);
  __m256 sums[n_sums];
  for (int i = 0; i < n_sums; i++) sums[i] = _mm256_set1_ps(static_cast<float>(i));
  for (int round = 0; round < n_rounds; round++) {
    for (int i = 0; i < n_sums; i++) sums[i] = _mm256_fmadd_ps(sums[i], scale, step);
  }
  for (int i = 1; i < n_sums; i++) sums[0] = _mm256_add_ps(sums[0], sums[i]);
  _mm256_store_ps(reinterpret_cast<float*>(result), sums[0]);
}

GOLGI_TARGET("avx512f") void f32_avx512(int n_rounds, const uint8_t* operands, uint8_t* result) {
  const __m512 scale = _mm512_load_ps(operands), step = _mm512_load_ps(operands + 64);
  __m512 sums[n_sums];
  for (int i = 0; i < n_sums; i++) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int round = 0; round < n_rounds; round++) {
    for (int i = 0; i < n_sums; i++) sums[i] = _mm512_fmadd_ps(sums[i], scale, step);
  }
  for (int i = 1; i < n_sums; i++) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  _mm512_store_ps(result, sums[0]);
}

GOLGI_TARGET("avx2") void int8_avx2(int n_rounds, const uint8_t* operands, uint8_t* result) {
  const __m256i ones = _mm256_set1_epi16(1), w = _mm256_load_si256(reinterpret_cast<const __m256i*>(operands));
  __m256i sums[n_sums];
  for (int i = 0; i < n_sums; i++) sums[i] = _mm256_setzero_si256();
  for (int round = 0; round < n_rounds; round++) {
    // Another place in each round, so that the products are not the same and cannot be taken out of the loop.
    const uint8_t* from = operands + round % 4 * 64;
    for (int i = 0; i < n_sums; i++) {
      const __m256i x = _mm256_load_si256(reinterpret_cast<const __m256i*>(from + 64 * i));
      sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(_mm256_maddubs_epi16(x, w), ones));
    }
  }
  for (int i = 1; i < n_sums; i++) sums[0] = _mm256_add_epi32(sums[0], sums[i]);
  _mm256_store_si256(reinterpret_cast<__m256i*>(result), sums[0]);
}

GOLGI_TARGET("avx512f,avx512bw") void int8_avx512(int n_rounds, const uint8_t* operands, uint8_t* result) {
  const __m512i ones = _mm512_set1_epi16(1), w = _mm512_load_si512(operands);
  __m512i sums[n_sums];
  for (int i = 0; i < n_sums; i++) sums[i] = _mm512_setzero_si512();
  for (int round = 0; round < n_rounds; round++) {
    const uint8_t* from = operands + round % 4 * 64;
    for (int i = 0; i < n_sums; i++) {
      const __m512i x = _mm512_load_si512(from + 64 * i);
      sums[i] = _mm512_add_epi32(sums[i], _mm512_madd_epi16(_mm512_maddubs_epi16(x, w), ones));
    }
  }
  for (int i = 1; i < n_sums; i++) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
  _mm512_store_si512(result, sums[0]);
}

GOLGI_TARGET("avx512f,avx512vnni") void int8_vnni(int n_rounds, const uint8_t* operands, uint8_t* result) {
  const __m512i x = _mm512_load_si512(operands), w = _mm512_load_si512(operands + 64);
  __m512i sums[n_sums];
  for (int i = 0; i < n_sums; i++) sums[i] = _mm512_set1_epi32(i);
  for (int round = 0; round < n_rounds; round++) {
    for (int i = 0; i < n_sums; i++) sums[i] = _mm512_dpbusd_epi32(sums[i], x, w);
  }
  for (int i = 1; i < n_sums; i++) sums[0] = _mm512_add_epi32(sums[0], sums[i]);
  _mm512_store_si512(result, sums[0]);
}

GOLGI_TARGET("avx512f,avx512bf16") void bf16_avx512(int n_rounds, const uint8_t* operands, uint8_t* result) {
  __m512bh x, w;
  std::memcpy(&x, operands, sizeof x);
  std::memcpy(&w, operands + 64, sizeof w);
  __m512 sums[n_sums];
  for (int i = 0; i < n_sums; i++) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int round = 0; round < n_rounds; round++) {
    for (int i = 0; i < n_sums; i++) sums[i] = _mm512_dpbf16_ps(sums[i], x, w);
  }
  for (int i = 1; i < n_sums; i++) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  _mm512_store_ps(result, sums[0]);
}

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
#ifdef _MSC_VER
  int values[4];
  __cpuidex(values, static_cast<int>(leaf), static_cast<int>(subleaf));
  r = {static_cast<uint32_t>(values[0]), static_cast<uint32_t>(values[1]), static_cast<uint32_t>(values[2]),
       static_cast<uint32_t>(values[3])};
#else
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
#endif
  return r;
}

bool has_vnni() { return (cpuid(7, 0).ecx & 1u << 11) != 0; }

bool has_bf16() { return (cpuid(7, 1).eax & 1u << 5) != 0; }

PeakLoop f32_loop(const std::string& isa) {
  if (isa == "avx512") return {"vfmadd zmm", n_sums * 16 * 2, f32_avx512};
  if (isa == "avx2") return {"vfmadd ymm", n_sums * 8 * 2, f32_avx2};
  return {"mulps, addps xmm", n_sums * 4 * 2, f32_sse2};
}

PeakLoop int8_loop(const std::string& isa) {
  if (isa == "avx512" && has_vnni()) return {"vpdpbusd zmm", n_sums * 64 * 2, int8_vnni};
  if (isa == "avx512") return {"vpmaddubsw zmm", n_sums * 64 * 2, int8_avx512};
  if (isa == "avx2") return {"vpmaddubsw ymm", n_sums * 32 * 2, int8_avx2};
  return {};
}

PeakLoop bf16_loop(const std::string& isa) {
  if (isa == "avx512" && has_bf16()) return {"vdpbf16ps zmm", n_sums * 32 * 2, bf16_avx512};
  return {};
}

}  // namespace

PeakLoop peak_loop(const std::string& kind) {
  // The best table also tells which registers the operating system saves.
  const std::string isa = runnable_tables().front()->isa;
  if (kind == "f32") return f32_loop(isa);
  return kind == "int8" ? int8_loop(isa) : bf16_loop(isa);
}

}  // namespace golgi

#endif
