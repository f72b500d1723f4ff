#include "program.h"

#include <algorithm>
#include <stdexcept>
#include <string>

namespace golgi {

namespace {

constexpr int32_t magic = 0x676f6c67;
constexpr int32_t version = 2;
constexpr size_t n_header_words = 8;
/// As many as any program needs; bounds what a damaged header can ask for.
constexpr int32_t max_count = 1 << 24;

[[noreturn]] void fail(const std::string& message) { throw std::invalid_argument(message); }

void require(bool holds, const char* invariant, int64_t got) {
  if (!holds) fail(std::string(invariant) + "; got " + std::to_string(got));
}

/// Takes words from the front.
class Reader {
 public:
  explicit Reader(std::span<const int32_t> words) : words_(words) {}

  int32_t next() {
    if (words_.empty()) fail("a program must hold all the words that its header counts");
    const int32_t word = words_.front();
    words_ = words_.subspan(1);
    return word;
  }
  int32_t count() {
    const int32_t n = next();
    require(n >= 0 && n < max_count, "counts must be small numbers", n);
    return n;
  }
  size_t n_left() const { return words_.size(); }

 private:
  std::span<const int32_t> words_;
};

}  // namespace

Program::Program(ProgramSource source, const KernelTable& kernels, const CachePages& pages)
    : source_(std::move(source)), kernels_(kernels) {
  for (const int32_t layer : source_.layers) {
    require(layer >= 0 && layer < pages.n_layers(), "caches must be bound", layer);
    layouts_.push_back(pages.layout(layer));
  }
  read_words();
  check_instructions();
  source_.words = {};
}

void Program::read_words() {
  Reader reader(source_.words);
  require(reader.n_left() >= n_header_words && reader.next() == magic, "a program begins with its magic number",
          source_.words.empty() ? 0 : source_.words[0]);
  require(reader.next() == version, "the program's version must be 2", source_.words[1]);
  const int32_t n_symbols = reader.count(), n_slots = reader.count(), n_windows = reader.count();
  const int32_t n_operands = reader.count(), n_words = reader.count();
  reader.next();
  for (int32_t i = 0; i < n_symbols; i++) {
    const int32_t kind = reader.next(), a = reader.next(), b = reader.next();
    require(kind >= 0 && kind <= 2, "a symbol's kind must be 0, 1 or 2", kind);
    const Symbol symbol{Symbol::Kind{kind}, kind == 2 ? a : 0, kind == 1 ? a : kind == 2 ? b : -1};
    require(symbol.selection >= (kind == 1 ? 0 : -1) && symbol.selection < max_count,
            "a selection is the number of an int input", symbol.selection);
    require(symbol.window >= 0, "a window must not be negative", symbol.window);
    n_ints_ = std::max(n_ints_, symbol.selection + 1);
    symbols_.push_back(symbol);
  }
  for (int32_t i = 0; i < n_slots; i++) {
    const int32_t coefficient = reader.next(), symbol = reader.next();
    require(coefficient >= 0, "a slot's size must not be negative", coefficient);
    require(symbol >= -1 && symbol < n_symbols, "a slot's symbol must be in the table", symbol);
    slots_.push_back({coefficient, symbol});
  }
  for (int32_t i = 0; i < n_windows; i++) {
    windows_.push_back(reader.next());
    require(windows_.back() >= 0, "a window must not be negative", windows_.back());
  }
  for (const Symbol& symbol : symbols_) {
    const bool is_known = std::find(windows_.begin(), windows_.end(), symbol.window) != windows_.end();
    require(symbol.kind != Symbol::Kind::pairs || is_known, "the windows of all symbols must be listed", symbol.window);
  }
  for (int32_t i = 0; i < n_operands; i++) {
    const int32_t kind = reader.next(), index = reader.next(), n_cols = reader.next();
    const int32_t coefficient = reader.next(), symbol = reader.next();
    require(kind >= 0 && kind <= static_cast<int32_t>(OperandKind::floats), "an operand's kind must be known", kind);
    require(coefficient >= 0, "an input's size must not be negative", coefficient);
    require(symbol >= -1 && symbol < n_symbols, "an input's symbol must be in the table", symbol);
    operands_.push_back({OperandKind{kind}, index, n_cols, coefficient, symbol});
    check_operand(operands_.back());
  }
  require(reader.n_left() == static_cast<size_t>(n_words), "the header must count the words of all instructions", n_words);
  const auto rest = source_.words.last(static_cast<size_t>(n_words));
  instructions_.assign(rest.begin(), rest.end());
}

void Program::check_operand(const Operand& operand) {
  const auto within = [&](size_t size, const char* invariant) {
    require(operand.index >= 0 && static_cast<size_t>(operand.index) < size, invariant, operand.index);
  };
  require(operand.n_cols >= 0, "a row's length must not be negative", operand.n_cols);
  switch (operand.kind) {
    case OperandKind::slot: within(slots_.size(), "a slot must be in the table"); break;
    case OperandKind::weight: within(source_.weights.size(), "every weight must be bound"); break;
    case OperandKind::constant: within(source_.constants.size(), "every constant must be given"); break;
    case OperandKind::cache: within(source_.layers.size(), "every cache must be bound"); break;
    case OperandKind::ints:
      within(max_count, "an int input has a number");
      n_ints_ = std::max(n_ints_, operand.index + 1);
      break;
    case OperandKind::floats:
      within(max_count, "a float input has a number");
      n_floats_ = std::max(n_floats_, operand.index + 1);
      break;
    case OperandKind::output:
      within(max_count, "an output has a number");
      n_outputs_ = std::max(n_outputs_, operand.index + 1);
      break;
    case OperandKind::rows: break;
  }
}

void Program::check_instructions() const {
  Frame frame(*this);
  for (size_t at = 0; at < instructions_.size();) {
    const int32_t* words = &instructions_[at];
    require(kernels_.has(words[0]), "every instruction must have a kernel", words[0]);
    const Kernel& kernel = kernels_.kernels[words[0]];
    const size_t n_left = instructions_.size() - at;
    require(n_left >= 2 && words[1] == kernel.n_words && static_cast<size_t>(words[1]) <= n_left,
            "an instruction must have as many words as its kernel takes", n_left >= 2 ? words[1] : 1);
    kernel.look_up(words, frame);
    if (!frame.problem().empty()) fail("instruction at word " + std::to_string(at) + ": " + frame.problem());
    at += static_cast<size_t>(words[1]);
  }
}

}  // namespace golgi
