#include "frame.h"

#include <cstring>
#include <limits>

#include "program.h"
#include "red_zone.h"
#include "step.h"

namespace golgi {

namespace {

using Kind = OperandKind;

constexpr int64_t alignment = 64;

int64_t aligned(int64_t bytes) { return (bytes + alignment - 1) / alignment * alignment; }

const char* const kind_names[] = {"a slot", "a weight", "a constant", "an int input", "a cache", "rows", "an output",
                                  "a float input"};

}  // namespace

Frame::Frame(const Program& program) : program_(program) {}

Frame::Frame(const Program& program, const Step& step, const PageTables& pages) : program_(program), step_(&step) {
  see_keys();
  measure_symbols();
  place_operands(pages);
}

/// For each window the first key that each row sees, and where its pairs begin.
void Frame::see_keys() {
  const size_t n_rows = step_->position.size();
  for (const int64_t window : program_.windows()) {
    std::vector<int32_t>& first = first_.emplace_back(n_rows);
    std::vector<int64_t>& offset = offset_.emplace_back(n_rows + 1);
    for (size_t t = 0; t < n_rows; t++) {
      const int64_t position = step_->position[t], n_keys = n_visible_keys(position, window);
      first[t] = static_cast<int32_t>(position + 1 - n_keys);
      offset[t + 1] = offset[t] + n_keys;
    }
    visible_.push_back({first.data(), offset.data()});
  }
  for (const std::vector<int32_t>& pages : step_->pages) page_lists_.push_back(pages.data());
  rows_ = {static_cast<int64_t>(n_rows),
           step_->sequence.data(),
           step_->position.data(),
           step_->rope_variant.data(),
           page_lists_.data(),
           program_.windows().data(),
           visible_.data(),
           static_cast<int32_t>(visible_.size())};
}

void Frame::measure_symbols() {
  for (const Symbol& symbol : program_.symbols()) symbol_sizes_.push_back(size_of(symbol, *step_));
  for (const Slot& slot : program_.slots()) {
    const int64_t n_elements = slot.symbol < 0 ? 1 : symbol_sizes_[static_cast<size_t>(slot.symbol)];
    slot_offsets_.push_back(arena_bytes_);
    arena_bytes_ += aligned(4 * slot.coefficient * n_elements) + red_zone_bytes;
  }
}

void Frame::place_operands(const PageTables& pages) {
  for (size_t i = 0; i < program_.layers().size(); i++) {
    const CacheLayout& layout = program_.layout(static_cast<int32_t>(i));
    const std::vector<uint8_t*>& layer = pages.by_layer[static_cast<size_t>(program_.layers()[i])];
    caches_.push_back({layout.type, layout.n_kv_heads, layout.d_k, layout.d_v, layer.data(), layout.v_offset()});
  }
  const size_t n_operands = program_.operands().size();
  places_.reserve(n_operands);
  segments_.reserve(n_operands);
  weights_.reserve(n_operands);
  for (const Operand& operand : program_.operands()) {
    Place& place = places_.emplace_back(Place{operand.kind});
    const size_t index = static_cast<size_t>(operand.index);
    switch (operand.kind) {
      case Kind::weight:
        place.weight = &program_.weight(operand.index).weight();
        place.data = const_cast<float*>(program_.weight(operand.index).dense());
        break;
      case Kind::constant: place.data = const_cast<float*>(program_.constant(operand.index).data()); break;
      case Kind::ints: place.data = const_cast<int32_t*>(step_->ints[index].data()); break;
      case Kind::floats: place.data = const_cast<float*>(step_->floats[index].data()); break;
      case Kind::output: place.data = step_->outputs[index].block + step_->outputs[index].offset; break;
      case Kind::cache: place.cache = &caches_[index]; break;
      case Kind::slot:
      case Kind::rows: break;
    }
    stand_in(place, operand.n_cols);
  }
}

/// A value that some op computed, where a kernel wants a weight: rows of float32, as many as the op itself says.
void Frame::stand_in(Place& place, int64_t n_cols) {
  constexpr int64_t any_number_of_rows = std::numeric_limits<int32_t>::max();
  Segment& segment = segments_.emplace_back();
  segment = {static_cast<const uint8_t*>(place.data), 4 * n_cols, 0, any_number_of_rows, nullptr};
  Weight& weight = weights_.emplace_back();
  weight = {Format::f32, any_number_of_rows, n_cols, &segment, 1};
  if (place.kind != Kind::weight) place.weight = &weight;
}

void Frame::place_arena(uint8_t* arena) {
  allow(arena, arena_bytes_);
  for (size_t i = 0; i < places_.size(); i++) {
    if (places_[i].kind != Kind::slot) continue;
    const size_t slot = static_cast<size_t>(program_.operands()[i].index);
    places_[i].data = arena + slot_offsets_[slot];
    segments_[i].data = arena + slot_offsets_[slot];
  }
  for (size_t slot = 0; slot < slot_offsets_.size(); slot++) {
    const int64_t end = slot + 1 < slot_offsets_.size() ? slot_offsets_[slot + 1] : arena_bytes_;
    forbid(arena + end - red_zone_bytes, red_zone_bytes);
  }
}

template <class... Kinds>
bool Frame::may_look_up(int32_t operand, const char* use, Kinds... kinds) const {
  if (operand < 0) return false;
  if (step_ != nullptr) return true;
  const std::vector<Operand>& operands = program_.operands();
  if (static_cast<size_t>(operand) >= operands.size()) {
    problem_ = "operand " + std::to_string(operand) + " is not in the table";
    return false;
  }
  const OperandKind kind = operands[static_cast<size_t>(operand)].kind;
  if (((kind == kinds) || ...)) return true;
  problem_ = "operand " + std::to_string(operand) + " must be " + use + "; got " + kind_names[static_cast<int>(kind)];
  return false;
}

const float* Frame::floats(int32_t operand) const {
  if (!may_look_up(operand, "numbers", Kind::slot, Kind::weight, Kind::constant, Kind::output, Kind::floats)) {
    return nullptr;
  }
  if (step_ != nullptr) return static_cast<const float*>(place(operand).data);
  const Operand& checked = program_.operands()[static_cast<size_t>(operand)];
  if (checked.kind == Kind::weight && program_.weight(checked.index).dense() == nullptr) {
    problem_ = "operand " + std::to_string(operand) + " must be float32 numbers that lie together; convert the weight";
  }
  return nullptr;
}

float* Frame::floats_out(int32_t operand) const {
  if (!may_look_up(operand, "a result", Kind::slot, Kind::output) || step_ == nullptr) return nullptr;
  return static_cast<float*>(place(operand).data);
}

const int32_t* Frame::ints(int32_t operand) const {
  if (!may_look_up(operand, "integers", Kind::ints, Kind::slot, Kind::output) || step_ == nullptr) return nullptr;
  return static_cast<const int32_t*>(place(operand).data);
}

int32_t* Frame::ints_out(int32_t operand) const {
  if (!may_look_up(operand, "a result", Kind::slot, Kind::output) || step_ == nullptr) return nullptr;
  return static_cast<int32_t*>(place(operand).data);
}

const Weight* Frame::weight(int32_t operand) const {
  if (!may_look_up(operand, "a matrix", Kind::weight, Kind::slot, Kind::constant, Kind::output, Kind::floats)) {
    return nullptr;
  }
  if (step_ != nullptr) return place(operand).weight;
  const Operand& checked = program_.operands()[static_cast<size_t>(operand)];
  if (checked.kind != Kind::weight) return nullptr;
  const int64_t n_cols = program_.weight(checked.index).weight().n_cols;
  if (n_cols != checked.n_cols) {
    problem_ = "operand " + std::to_string(operand) + " must have rows of " + std::to_string(checked.n_cols) +
               "; got a weight with rows of " + std::to_string(n_cols);
  }
  return nullptr;
}

const Rows* Frame::rows(int32_t operand) const {
  if (!may_look_up(operand, "rows", Kind::rows) || step_ == nullptr) return nullptr;
  return &rows_;
}

const Cache* Frame::cache(int32_t operand) const {
  if (!may_look_up(operand, "a cache", Kind::cache) || step_ == nullptr) return nullptr;
  return place(operand).cache;
}

int64_t Frame::size(int32_t coefficient, int32_t symbol) const {
  if (symbol < 0) return coefficient;
  if (step_ != nullptr) return coefficient * symbol_sizes_[static_cast<size_t>(symbol)];
  if (static_cast<size_t>(symbol) >= program_.symbols().size()) {
    problem_ = "symbol " + std::to_string(symbol) + " is not in the table";
  }
  return 0;
}

double Frame::number(const int32_t* words) const {
  double value;
  std::memcpy(&value, words, sizeof value);
  return value;
}

}  // namespace golgi
