#include "cases.h"

#include <bit>
#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>

namespace golgi::conformance {

namespace {

constexpr int32_t magic = 0x63617365;

class Reader {
 public:
  explicit Reader(std::vector<char> bytes) : bytes_(std::move(bytes)) {}

  int32_t word() {
    int32_t value;
    std::memcpy(&value, take(4), 4);
    return value;
  }
  template <class Element>
  std::vector<Element> list() {
    std::vector<Element> elements(static_cast<size_t>(word()));
    // Bytes are filled up to whole words.
    const size_t bytes = elements.size() * sizeof(Element);
    const char* from = take((bytes + 3) / 4 * 4);
    if (bytes > 0) std::memcpy(elements.data(), from, bytes);
    return elements;
  }
  std::string text() {
    const std::vector<char> bytes = list<char>();
    return {bytes.begin(), bytes.end()};
  }
  template <class Read>
  auto many(const Read& read) {
    std::vector<decltype(read())> items;
    for (int32_t n = word(); n > 0; n--) items.push_back(read());
    return items;
  }

 private:
  const char* take(size_t n) {
    if (n > bytes_.size() - at_) throw std::runtime_error("the file of cases ends too early");
    at_ += n;
    return bytes_.data() + at_ - n;
  }

  std::vector<char> bytes_;
  size_t at_ = 0;
};

StoredSegment read_segment(Reader& in) {
  StoredSegment segment;
  segment.first_row = in.word();
  segment.n_rows = in.word();
  segment.row_bytes = in.word();
  segment.stored_rows = in.list<int32_t>();
  segment.bytes = in.list<uint8_t>();
  segment.scales.row_bytes = in.word();
  segment.scales.rows_per_scale = in.word();
  segment.scales.first_row = in.word();
  segment.scales.bytes = in.list<uint8_t>();
  return segment;
}

StoredWeight read_weight(Reader& in) {
  StoredWeight weight;
  weight.format = Format{in.word()};
  weight.n_rows = in.word();
  weight.n_cols = in.word();
  weight.segments = in.many([&] { return read_segment(in); });
  return weight;
}

CacheLayout read_cache(Reader& in) {
  CacheLayout layout;
  layout.type = KvType{in.word()};
  layout.n_kv_heads = in.word();
  layout.d_k = in.word();
  layout.d_v = in.word();
  return layout;
}

Expected read_expected(Reader& in) {
  Expected expected;
  expected.name = in.text();
  expected.is_int = in.word() != 0;
  expected.tolerance = std::bit_cast<float>(in.word());
  expected.words = in.list<int32_t>();
  return expected;
}

StepCase read_step(Reader& in) {
  const auto ints = [&] { return in.list<int32_t>(); };
  const auto floats = [&] { return in.list<float>(); };
  StepCase step;
  step.words = ints();
  step.weights = ints();
  step.constants = in.many(floats);
  step.caches = ints();
  step.sequence = ints();
  step.position = ints();
  step.rope_variant = ints();
  step.pages = in.many(ints);
  step.ints = in.many(ints);
  step.floats = in.many(floats);
  step.outputs = in.many([&] { return read_expected(in); });
  return step;
}

Case read_case(Reader& in) {
  Case read;
  read.name = in.text();
  read.twin = in.word();
  read.weights = in.many([&] { return read_weight(in); });
  read.caches = in.many([&] { return read_cache(in); });
  read.n_pages = in.word();
  read.steps = in.many([&] { return read_step(in); });
  return read;
}

}  // namespace

std::vector<Case> read_cases(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  Reader in({std::istreambuf_iterator<char>(file), {}});
  if (in.word() != magic) throw std::runtime_error(path + " is not a file of cases");
  return in.many([&] { return read_case(in); });
}

}  // namespace golgi::conformance
