#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "cache_pages.h"
#include "frame.h"
#include "kernel_table.h"
#include "weights.h"

namespace golgi {

/// What a program is made from: the words of src/program/lower.ts, and what its numbered operands are bound to.
struct ProgramSource {
  std::span<const int32_t> words;
  std::vector<std::shared_ptr<const BoundWeight>> weights;
  std::vector<std::vector<float>> constants;
  /// Layer of each cache.
  std::vector<int32_t> layers;
};

/// A size that only a step knows.
struct Symbol {
  enum class Kind : int32_t { rows, selection, pairs };
  Kind kind;
  int64_t window;     ///< of pairs; 0 for none
  int32_t selection;  ///< int input that selects rows; −1 for all
};

/// Memory of the arena: coefficient × symbol elements of 4 bytes (symbol −1: just the coefficient).
struct Slot {
  int64_t coefficient;
  int32_t symbol;
};

struct Operand {
  OperandKind kind;
  int32_t index;
  int64_t n_cols;  ///< elements of one row, for values that stand in for a weight
  /// Elements of an input: coefficient × symbol, or just the coefficient where the symbol is −1.
  int64_t coefficient;
  int32_t symbol;
};

/// An instruction stream with its tables, checked once so that running it needs no checks.
class Program {
 public:
  /// Throws std::invalid_argument where the words are not a program for these kernels, bindings and layers.
  Program(ProgramSource source, const KernelTable& kernels, const CachePages& pages);

  const std::vector<Symbol>& symbols() const { return symbols_; }
  const std::vector<Slot>& slots() const { return slots_; }
  const std::vector<int64_t>& windows() const { return windows_; }
  const std::vector<Operand>& operands() const { return operands_; }
  const BoundWeight& weight(int32_t index) const { return *source_.weights[static_cast<size_t>(index)]; }
  const std::vector<float>& constant(int32_t index) const { return source_.constants[static_cast<size_t>(index)]; }
  /// Layers and their layouts, by cache operand.
  const std::vector<int32_t>& layers() const { return source_.layers; }
  const CacheLayout& layout(int32_t cache) const { return layouts_[static_cast<size_t>(cache)]; }
  /// How many inputs and outputs a step must bring.
  int32_t n_ints() const { return n_ints_; }
  int32_t n_floats() const { return n_floats_; }
  int32_t n_outputs() const { return n_outputs_; }

  /// Runs the instructions in order; false where `stop()` held before one of them.
  template <class Stop>
  bool run(const Frame& frame, Context& context, const Stop& stop) const {
    for (size_t at = 0; at < instructions_.size(); at += static_cast<size_t>(instructions_[at + 1])) {
      if (stop()) return false;
      const int32_t* words = &instructions_[at];
      kernels_.kernels[words[0]].run(words, frame, context);
    }
    return true;
  }

 private:
  void read_words();
  void check_operand(const Operand& operand);
  void check_instructions() const;

  ProgramSource source_;
  const KernelTable& kernels_;
  std::vector<CacheLayout> layouts_;
  std::vector<Symbol> symbols_;
  std::vector<Slot> slots_;
  std::vector<int64_t> windows_;
  std::vector<Operand> operands_;
  std::vector<int32_t> instructions_;
  int32_t n_ints_ = 0;
  int32_t n_floats_ = 0;
  int32_t n_outputs_ = 0;
};

}  // namespace golgi
