#include "step.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace golgi {

namespace {

template <class Error>
void require(bool holds, const char* invariant, int64_t got) {
  if (!holds) throw Error(std::string(invariant) + "; got " + std::to_string(got));
}

void require_size(bool holds, const char* invariant, size_t got) {
  require<std::invalid_argument>(holds, invariant, static_cast<int64_t>(got));
}

void require_range(bool holds, const char* invariant, int64_t got) {
  require<std::out_of_range>(holds, invariant, got);
}

void check_rows(const Step& step, int64_t n_pages, bool uses_cache) {
  const size_t n_rows = step.sequence.size();
  const size_t n_sequences = step.pages.size();
  require_size(step.position.size() == n_rows, "every row must have a position", step.position.size());
  require_size(step.rope_variant.size() == n_sequences, "every sequence must have a rope variant",
               step.rope_variant.size());
  for (const int32_t variant : step.rope_variant) {
    require_range(variant >= 0, "a rope variant must not be negative", variant);
  }
  for (size_t t = 0; t < n_rows; t++) {
    const int32_t sequence = step.sequence[t], position = step.position[t];
    require_range(sequence >= 0 && static_cast<size_t>(sequence) < n_sequences, "a row's sequence must have pages",
                  sequence);
    require_range(position >= 0, "a position must not be negative", position);
    const std::vector<int32_t>& pages = step.pages[static_cast<size_t>(sequence)];
    require_range(!uses_cache || position / page_size < static_cast<int64_t>(pages.size()),
                  "a row's position must lie on one of its sequence's pages", position);
    const bool follows = t == 0 || sequence > step.sequence[t - 1] ||
                         (sequence == step.sequence[t - 1] && position > step.position[t - 1]);
    require<std::invalid_argument>(follows, "sequences must be consecutive and their positions ascending",
                                   static_cast<int64_t>(t));
  }
  if (!uses_cache) return;
  for (const std::vector<int32_t>& pages : step.pages) {
    for (const int32_t page : pages) require_range(page >= 0 && page < n_pages, "pages must be reserved", page);
  }
}

void check_selections(const Step& step, const Program& program) {
  for (const Symbol& symbol : program.symbols()) {
    if (symbol.kind != Symbol::Kind::pairs || symbol.selection < 0) continue;
    for (const int32_t row : step.ints[static_cast<size_t>(symbol.selection)]) {
      require_range(row >= 0 && static_cast<size_t>(row) < step.position.size(), "a selected row must be in the step",
                    row);
    }
  }
}

/// Every input has as many elements as the program reads.
void check_inputs(const Step& step, const Program& program) {
  std::vector<int64_t> sizes;
  for (const Symbol& symbol : program.symbols()) sizes.push_back(size_of(symbol, step));
  for (const Operand& operand : program.operands()) {
    const size_t index = static_cast<size_t>(operand.index);
    size_t got;
    if (operand.kind == OperandKind::ints) got = step.ints[index].size();
    else if (operand.kind == OperandKind::floats) got = step.floats[index].size();
    else continue;
    const int64_t n_times = operand.symbol < 0 ? 1 : sizes[static_cast<size_t>(operand.symbol)];
    require_size(static_cast<int64_t>(got) == operand.coefficient * n_times,
                 operand.kind == OperandKind::ints ? "an int input must have as many elements as its shape"
                                                   : "a float input must have as many elements as its shape", got);
  }
}

}  // namespace

int64_t size_of(const Symbol& symbol, const Step& step) {
  if (symbol.kind == Symbol::Kind::rows) return static_cast<int64_t>(step.position.size());
  int64_t n = 0;
  if (symbol.selection < 0) {
    for (const int32_t position : step.position) n += n_visible_keys(position, symbol.window);
    return n;
  }
  const std::vector<int32_t>& selected = step.ints[static_cast<size_t>(symbol.selection)];
  if (symbol.kind == Symbol::Kind::selection) return static_cast<int64_t>(selected.size());
  for (const int32_t row : selected) n += n_visible_keys(step.position[static_cast<size_t>(row)], symbol.window);
  return n;
}

void check_step(const Step& step, const Program& program, int64_t n_pages) {
  check_rows(step, n_pages, !program.layers().empty());
  require_size(step.ints.size() >= static_cast<size_t>(program.n_ints()), "every int input must be given",
               step.ints.size());
  require_size(step.floats.size() >= static_cast<size_t>(program.n_floats()), "every float input must be given",
               step.floats.size());
  require_size(step.outputs.size() >= static_cast<size_t>(program.n_outputs()), "every output must have a place",
               step.outputs.size());
  for (const auto& [block, block_bytes, offset] : step.outputs) {
    require_range(offset >= 0 && offset % 4 == 0 && offset <= block_bytes,
                  "outputs begin inside the memory for them, at multiples of 4 bytes", offset);
  }
  check_selections(step, program);
  check_inputs(step, program);
}

}  // namespace golgi
