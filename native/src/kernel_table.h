#pragma once

#include <cstdint>

#include "../generated/ops.h"

namespace golgi {

/// How the interpreter calls one kernel.
struct Kernel {
  /// Words of an instruction, opcode included.
  int32_t n_words;
  void (*run)(const int32_t* words, const Frame& frame, Context& context);
  /// Looks the operands up as `run` does and does nothing with them, so that a frame can check them.
  void (*look_up)(const int32_t* words, const Frame& frame);
};

/// The kernels compiled for one ISA, by opcode; null functions where an opcode has none.
struct KernelTable {
  const char* isa;
  Kernel kernels[n_opcodes];

  bool has(int32_t opcode) const { return opcode >= 0 && opcode < n_opcodes && kernels[opcode].run != nullptr; }
};

namespace portable {
const KernelTable& table();
}
#if defined(__x86_64__) || defined(_M_X64)
namespace avx2 {
const KernelTable& table();
}
namespace avx512 {
const KernelTable& table();
}
#elif defined(__aarch64__) || defined(_M_ARM64)
namespace neon {
const KernelTable& table();
}
#endif

}  // namespace golgi
