// The slots of a step, grouped by the experts that they name.
#pragma once

#include <algorithm>

#include "../../../native/src/isa.h"

namespace golgi::GOLGI_ISA {

/// The slots of one expert, in ascending order.
struct ExpertSlots {
  int64_t expert;
  int64_t n_slots;
  int64_t first_chunk;
  const int32_t* slots;   ///< [n_slots] rows of the result
  const int32_t* x_rows;  ///< [n_slots] rows of x
};

/// Lists in the shared scratch of one op.
class SlotsByExpert {
 public:
  /// `n_chunks(n_slots)` tells how many chunks of work so many slots of one expert are.
  template <class Args, class NChunks>
  SlotsByExpert(const Args& a, Context& context, const NChunks& n_chunks) {
    const int64_t n_slots = a.n_T * a.n_A;
    const int64_t max_groups = std::min(a.n_E, n_slots);
    const int64_t n_numbers = 2 * n_slots + a.n_E;
    groups_ = static_cast<ExpertSlots*>(
        context.shared_scratch(max_groups * static_cast<int64_t>(sizeof(ExpertSlots)) + n_numbers * 4));
    int32_t* slots = reinterpret_cast<int32_t*>(groups_ + max_groups);
    int32_t* x_rows = slots + n_slots;
    int32_t* ends = x_rows + n_slots;
    std::fill_n(ends, a.n_E, 0);
    for (int64_t i = 0; i < n_slots; i++) ends[a.indices[i]]++;
    add_groups(ends, a.n_E, slots, x_rows, n_chunks);
    // What is the end of each expert's slots in the end is their beginning here.
    for (int64_t i = 0; i < n_slots; i++) {
      const int32_t at = ends[a.indices[i]]++;
      slots[at] = static_cast<int32_t>(i);
      x_rows[at] = static_cast<int32_t>(a.n_s == 1 ? i / a.n_A : i);
    }
  }

  int64_t n_chunks() const { return n_chunks_; }

  const ExpertSlots& of_chunk(int64_t chunk) const {
    const auto begins_after = [](int64_t c, const ExpertSlots& group) { return c < group.first_chunk; };
    return *(std::upper_bound(groups_, groups_ + n_groups_, chunk, begins_after) - 1);
  }

 private:
  /// Takes counts and leaves where the slots of each expert begin.
  template <class NChunks>
  void add_groups(int32_t* counts, int64_t n_experts, const int32_t* slots, const int32_t* x_rows,
                  const NChunks& n_chunks) {
    int32_t first = 0;
    for (int64_t expert = 0; expert < n_experts; expert++) {
      const int32_t n = counts[expert];
      counts[expert] = first;
      if (n == 0) continue;
      groups_[n_groups_++] = {expert, n, n_chunks_, slots + first, x_rows + first};
      n_chunks_ += n_chunks(n);
      first += n;
    }
  }

  ExpertSlots* groups_;
  int64_t n_groups_ = 0;
  int64_t n_chunks_ = 0;
};

}  // namespace golgi::GOLGI_ISA
