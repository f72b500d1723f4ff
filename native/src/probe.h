// What this machine can do at most: measured beside every benchmark, since shared machines change from minute to
// minute. A figure without its ceiling says little.
#pragma once

#include <cstdint>
#include <string>

namespace golgi {

struct Ceiling {
  /// Bytes read, or operations where a multiply and an add count as two, of all threads together in one second.
  double per_second;
  /// What was executed, such as "vpdpbusd zmm".
  const char* instruction;
};

/// Keeps `n_threads` threads busy for `seconds`, the caller's included. `kind` is "read" (from memory, beyond all
/// caches), "f32" (multiply-add), "int8" or "bf16" (dot products). No instruction where the CPU has none for it.
/// Throws std::invalid_argument for another kind.
Ceiling probe(const std::string& kind, int n_threads, double seconds);

/// Seconds until `n_threads` threads, the caller's included, have mapped a file and read each of its bytes once.
/// Throws std::system_error where it cannot be mapped.
double touch(const std::string& path, int n_threads);

/// A loop of independent instructions that never waits for memory.
struct PeakLoop {
  const char* instruction = nullptr;
  double ops_per_round = 0;
  /// Reads 1 KiB of operands, small numbers in every format, which no compiler knows, and stores what it computed,
  /// up to 64 bytes, so that no compiler can leave a part of it out. Both are aligned to 64 bytes.
  void (*run)(int n_rounds, const uint8_t* operands, uint8_t* result) = nullptr;
};

/// The fastest such loop of this CPU, or one without an instruction.
PeakLoop peak_loop(const std::string& kind);

}  // namespace golgi
