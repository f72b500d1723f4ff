#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernel.h"

namespace golgi {

class Program;
struct PageTables;
struct Step;

/// What an operand is; the numbers of src/program/words.ts.
enum class OperandKind : int32_t { slot, weight, constant, ints, cache, rows, output, floats };

/// The operands of one step, as the generated decoders of native/generated/ops.h look them up. −1 is an operand that
/// is absent: null.
class Frame {
 public:
  /// A frame that checks look-ups rather than answering them: all pointers are null, and `problem` says what was wrong.
  explicit Frame(const Program& program);
  /// The operands of a checked step. What the step and the tables hold must outlive the frame.
  Frame(const Program& program, const Step& step, const PageTables& pages);
  Frame(const Frame&) = delete;
  Frame& operator=(const Frame&) = delete;

  /// How much memory `place_arena` needs.
  int64_t arena_bytes() const { return arena_bytes_; }
  void place_arena(uint8_t* arena);

  const float* floats(int32_t operand) const;
  float* floats_out(int32_t operand) const;
  const int32_t* ints(int32_t operand) const;
  int32_t* ints_out(int32_t operand) const;
  const Weight* weight(int32_t operand) const;
  const Rows* rows(int32_t operand) const;
  const Cache* cache(int32_t operand) const;
  int64_t size(int32_t coefficient, int32_t symbol) const;
  /// The float64 in two words.
  double number(const int32_t* words) const;

  const std::string& problem() const { return problem_; }

 private:
  struct Place {
    OperandKind kind;
    void* data = nullptr;  ///< float32 or int32 elements
    const Weight* weight = nullptr;
    const Cache* cache = nullptr;
  };

  template <class... Kinds>
  bool may_look_up(int32_t operand, const char* use, Kinds... kinds) const;
  const Place& place(int32_t operand) const { return places_[static_cast<size_t>(operand)]; }

  void see_keys();
  void measure_symbols();
  void place_operands(const PageTables& pages);
  void stand_in(Place& place, int64_t n_cols);

  const Program& program_;
  const Step* step_ = nullptr;

  Rows rows_{};
  std::vector<const int32_t*> page_lists_;
  std::vector<std::vector<int32_t>> first_;
  std::vector<std::vector<int64_t>> offset_;
  std::vector<VisibleKeys> visible_;

  std::vector<int64_t> symbol_sizes_;
  std::vector<int64_t> slot_offsets_;
  int64_t arena_bytes_ = 0;

  std::vector<Place> places_;
  std::vector<Cache> caches_;
  // By operand; values that stand in for weights.
  std::vector<Segment> segments_;
  std::vector<Weight> weights_;

  mutable std::string problem_;
};

}  // namespace golgi
