#include "cpu.h"

#include <algorithm>
#include <set>
#include <string>
#include <thread>

#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#elif defined(__linux__)
#include <sched.h>

#include <fstream>
#endif

#if defined(__x86_64__)
#include <cpuid.h>
#elif defined(_M_X64)
#include <immintrin.h>
#include <intrin.h>
#endif

namespace golgi {

namespace {

#if defined(__x86_64__) || defined(_M_X64)

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf = 0) {
  Registers r;
#ifndef __x86_64__
  int values[4];
  __cpuidex(values, static_cast<int>(leaf), static_cast<int>(subleaf));
  r = {static_cast<uint32_t>(values[0]), static_cast<uint32_t>(values[1]), static_cast<uint32_t>(values[2]),
       static_cast<uint32_t>(values[3])};
#else
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
#endif
  return r;
}

/// Which register states the operating system saves; it must be asked, since a CPU's features are of no use without.
uint64_t saved_states() {
#ifndef __x86_64__
  return _xgetbv(0);
#else
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
#endif
}

bool has_bits(uint64_t value, uint64_t bits) { return (value & bits) == bits; }

constexpr uint32_t bit(int i) { return 1u << i; }

bool has_avx2() {
  const uint32_t basic = cpuid(1).ecx;
  if (!has_bits(basic, bit(12) | bit(27) | bit(28) | bit(29))) return false;  // FMA, OSXSAVE, AVX, F16C
  return has_bits(saved_states(), 0x6) && has_bits(cpuid(7).ebx, bit(5));
}

bool has_avx512() {
  // Foundation, DQ, BW and VL, and the operating system's leave to use masks and all of zmm.
  return has_avx2() && has_bits(saved_states(), 0xe6) &&
         has_bits(cpuid(7).ebx, bit(16) | bit(17) | bit(30) | bit(31));
}

#endif

#if defined(__linux__)

/// The hardware threads of a core share one list, such as "0,32" or "0-1"; empty where the kernel does not say.
std::string siblings_of(int cpu) {
  std::ifstream file("/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/thread_siblings_list");
  std::string siblings;
  std::getline(file, siblings);
  return siblings;
}

int count_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return 0;
  std::set<std::string> cores;
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &allowed)) continue;
    const std::string siblings = siblings_of(cpu);
    cores.insert(siblings.empty() ? "cpu " + std::to_string(cpu) : siblings);
  }
  return static_cast<int>(cores.size());
}

#elif defined(__APPLE__)

int count_cores() {
  int count = 0;
  size_t size = sizeof count;
  // Level 0 are the fast cores; the slow ones would make every op wait.
  if (sysctlbyname("hw.perflevel0.physicalcpu", &count, &size, nullptr, 0) == 0) return count;
  size = sizeof count;
  return sysctlbyname("hw.physicalcpu", &count, &size, nullptr, 0) == 0 ? count : 0;
}

#elif defined(_WIN32)

int count_cores() {
  DWORD_PTR allowed = 0, system = 0;
  if (!GetProcessAffinityMask(GetCurrentProcess(), &allowed, &system)) return 0;
  DWORD bytes = 0;
  GetLogicalProcessorInformation(nullptr, &bytes);
  std::vector<SYSTEM_LOGICAL_PROCESSOR_INFORMATION> entries(bytes / sizeof(SYSTEM_LOGICAL_PROCESSOR_INFORMATION));
  if (!GetLogicalProcessorInformation(entries.data(), &bytes)) return 0;
  return static_cast<int>(std::count_if(entries.begin(), entries.end(), [&](const auto& entry) {
    return entry.Relationship == RelationProcessorCore && (entry.ProcessorMask & allowed) != 0;
  }));
}

#else

int count_cores() { return 0; }

#endif

std::vector<const KernelTable*> find_runnable() {
  std::vector<const KernelTable*> tables;
#if defined(__x86_64__) || defined(_M_X64)
  if (has_avx512()) tables.push_back(&avx512::table());
  if (has_avx2()) tables.push_back(&avx2::table());
#elif defined(__aarch64__) || defined(_M_ARM64)
  tables.push_back(&neon::table());
#endif
  tables.push_back(&portable::table());
  return tables;
}

}  // namespace

const std::vector<const KernelTable*>& runnable_tables() {
  static const std::vector<const KernelTable*>& tables = *new std::vector<const KernelTable*>(find_runnable());
  return tables;
}

int n_physical_cores() {
  const int counted = count_cores();
  if (counted > 0) return counted;
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

}  // namespace golgi
