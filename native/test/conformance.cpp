// Runs every case of a file with the kernels of each ISA that this CPU has, on 1, 2 and 3 threads: results must be as
// expected within the case's tolerance, and have the same bits on any number of threads. With --once, on 2 threads only:
// enough for a sanitizer to see every access.
//
//   conformance <cases> [isa ...]

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <span>
#include <map>
#include <stdexcept>

#include "../src/cpu.h"
#include "../src/engine.h"
#include "../src/red_zone.h"
#include "cases.h"

namespace golgi::conformance {

namespace {

/// The words of each output, step by step.
using Results = std::vector<std::vector<std::vector<int32_t>>>;

constexpr int all_thread_counts[] = {1, 2, 3};
constexpr int one_thread_count[] = {2};

/// Rows begin 2 bytes beyond an address that suits any type, as they may in a mapped file, and end with their block of
/// memory, so that a sanitizer sees a read beyond it.
Bytes place(const std::vector<uint8_t>& bytes, bool is_plain) {
  const size_t shift = is_plain ? 0 : 2;
  const std::shared_ptr<uint8_t> block(new uint8_t[shift + bytes.size()], std::default_delete<uint8_t[]>());
  std::copy(bytes.begin(), bytes.end(), block.get() + shift);
  return {block, block.get() + shift, static_cast<int64_t>(bytes.size())};
}

std::shared_ptr<const BoundWeight> bind(const StoredWeight& stored) {
  // What kernels read as numbers rather than as a weight is aligned; a backend sees to that.
  const bool is_plain = stored.format == Format::f32 && stored.segments.size() == 1;
  std::vector<SegmentSource> sources;
  for (const StoredSegment& segment : stored.segments) {
    SegmentSource source{place(segment.bytes, is_plain), 0, segment.row_bytes, segment.first_row, segment.n_rows, {}, {}};
    if (!segment.stored_rows.empty()) source.stored_rows = segment.stored_rows;
    const auto& [row_bytes, rows_per_scale, first_row, bytes] = segment.scales;
    if (!bytes.empty()) source.scales = ScalesSource{place(bytes, is_plain), 0, row_bytes, rows_per_scale, first_row};
    sources.push_back(std::move(source));
  }
  return std::make_shared<const BoundWeight>(stored.format, stored.n_rows, stored.n_cols, std::move(sources));
}

/// Memory for a step's outputs with borders that a sanitizer sees, filled so that what is not written is found.
class Outputs {
 public:
  explicit Outputs(const std::vector<Expected>& expected) : expected_(expected) {
    int64_t bytes = 0;
    for (const Expected& output : expected) {
      offsets_.push_back(bytes);
      bytes += static_cast<int64_t>(4 * output.words.size() + 63) / 64 * 64 + red_zone_bytes;
    }
    block_ = Block(std::max<int64_t>(bytes, 1));
    std::memset(block_.data(), 0xff, static_cast<size_t>(block_.size_bytes()));
    for (size_t i = 0; i < expected.size(); i++) {
      const int64_t end = offsets_[i] + static_cast<int64_t>(4 * expected[i].words.size());
      const int64_t next = i + 1 < expected.size() ? offsets_[i + 1] : block_.size_bytes();
      if (red_zone_bytes > 0) forbid(block_.data() + end, next - end);
    }
  }

  std::vector<OutputPlace> places() const {
    std::vector<OutputPlace> places;
    for (const int64_t offset : offsets_) places.push_back({block_.data(), block_.size_bytes(), offset});
    return places;
  }
  std::vector<std::vector<int32_t>> words() const {
    std::vector<std::vector<int32_t>> all;
    for (size_t i = 0; i < expected_.size(); i++) {
      std::vector<int32_t>& words = all.emplace_back(expected_[i].words.size());
      if (!words.empty()) std::memcpy(words.data(), block_.data() + offsets_[i], 4 * words.size());
    }
    return all;
  }

 private:
  const std::vector<Expected>& expected_;
  Block block_;
  std::vector<int64_t> offsets_;
};

Results run(const Case& given, const KernelTable& kernels, int n_threads) {
  Engine engine(n_threads, kernels);
  std::vector<std::shared_ptr<const BoundWeight>> weights;
  for (const StoredWeight& stored : given.weights) weights.push_back(bind(stored));
  for (const CacheLayout& cache : given.caches) engine.pages().add_layer(cache);
  engine.pages().reserve(given.n_pages);

  Results results;
  for (const StepCase& given_step : given.steps) {
    ProgramSource source{given_step.words, {}, given_step.constants, given_step.caches};
    for (const int32_t index : given_step.weights) source.weights.push_back(weights[static_cast<size_t>(index)]);
    const std::shared_ptr<const Program> program = engine.compile(std::move(source));
    const Outputs outputs(given_step.outputs);
    const Step step{given_step.sequence, given_step.position, given_step.rope_variant, given_step.pages,
                    given_step.ints,     given_step.floats,   outputs.places()};
    const auto tables = engine.pages().tables();
    check_step(step, *program, tables->n_pages);
    engine.run(*program, step, *tables, [] { return false; });
    results.push_back(outputs.words());
  }
  return results;
}

bool is_close(const Expected& expected, size_t i, int32_t word) {
  if (word == expected.words[i]) return true;
  if (expected.is_int) return false;
  const float want = std::bit_cast<float>(expected.words[i]), got = std::bit_cast<float>(word);
  if (std::isnan(want) || std::isinf(want)) return std::isnan(want) ? std::isnan(got) : want == got;
  if (expected.tolerance == 0) return false;
  return std::abs(got - want) <= expected.tolerance * std::max(1.0f, std::abs(want));
}

class Report {
 public:
  Report(const Case& given, const char* isa) : given_(given), isa_(isa) {}

  void compare(const Results& results) {
    for (size_t s = 0; s < given_.steps.size(); s++) {
      for (size_t o = 0; o < given_.steps[s].outputs.size(); o++) {
        const Expected& expected = given_.steps[s].outputs[o];
        for (size_t i = 0; i < expected.words.size(); i++) {
          if (!is_close(expected, i, results[s][o][i])) return differs(expected, i, results[s][o][i]);
        }
      }
    }
  }

  void compare_bits(const Results& results, const Results& others, const std::string& with) {
    if (results != others) fail("has other bits on " + with);
  }

  /// A twin has the same outputs under the same names, and perhaps fewer.
  void compare_twin(const Results& results, const Case& twin, const Results& twin_results) {
    std::map<std::string, std::vector<int32_t>> words;
    for (size_t o = 0; o < given_.steps.back().outputs.size(); o++) {
      words[given_.steps.back().outputs[o].name] = results.back()[o];
    }
    for (size_t o = 0; o < twin.steps.back().outputs.size(); o++) {
      const std::string& name = twin.steps.back().outputs[o].name;
      if (words.at(name) != twin_results.back()[o]) fail(name + " has other bits than in: " + twin.name);
    }
  }

  void fail(const std::string& what) {
    std::printf("%s, %s: %s\n", isa_, given_.name.c_str(), what.c_str());
    failed_ = true;
  }
  bool failed() const { return failed_; }

 private:
  void differs(const Expected& expected, size_t i, int32_t word) {
    char text[160];
    if (expected.is_int) {
      std::snprintf(text, sizeof text, "[%zu] is %d, not %d", i, word, expected.words[i]);
    } else {
      std::snprintf(text, sizeof text, "[%zu] is %.9g, not %.9g within %g", i, std::bit_cast<float>(word),
                    std::bit_cast<float>(expected.words[i]), expected.tolerance);
    }
    fail(expected.name + text);
  }

  const Case& given_;
  const char* isa_;
  bool failed_ = false;
};

int run_all(const std::vector<Case>& cases, const KernelTable& kernels, std::span<const int> thread_counts) {
  std::vector<Results> all;
  int n_failed = 0;
  for (const Case& given : cases) {
    Report report(given, kernels.isa);
    try {
      all.push_back(run(given, kernels, thread_counts[0]));
      report.compare(all.back());
      for (const int n_threads : thread_counts.subspan(1)) {
        report.compare_bits(run(given, kernels, n_threads), all.back(), std::to_string(n_threads) + " threads");
      }
      if (given.twin >= 0) {
        const size_t twin = static_cast<size_t>(given.twin);
        report.compare_twin(all.back(), cases[twin], all[twin]);
      }
    } catch (const std::exception& error) {
      all.resize(static_cast<size_t>(&given - cases.data()) + 1);
      report.fail(error.what());
    }
    if (report.failed()) n_failed++;
  }
  std::printf("%s: %zu cases, %d failed\n", kernels.isa, cases.size(), n_failed);
  return n_failed;
}

}  // namespace

}  // namespace golgi::conformance

int main(int argc, char** argv) {
  using namespace golgi;
  if (argc < 2) {
    std::fprintf(stderr, "usage: conformance <cases> [--once] [isa ...]\n");
    return 2;
  }
  try {
    const std::vector<conformance::Case> cases = conformance::read_cases(argv[1]);
    char** isas = argv + 2;
    const bool is_once = isas != argv + argc && std::strcmp(*isas, "--once") == 0;
    if (is_once) isas++;
    const std::span<const int> counts =
        is_once ? std::span<const int>(conformance::one_thread_count) : std::span<const int>(conformance::all_thread_counts);
    int n_failed = 0;
    for (const KernelTable* kernels : runnable_tables()) {
      const bool is_wanted =
          std::any_of(isas, argv + argc, [&](const char* isa) { return std::strcmp(isa, kernels->isa) == 0; });
      if (isas == argv + argc || is_wanted) n_failed += conformance::run_all(cases, *kernels, counts);
    }
    return n_failed == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
  }
}
