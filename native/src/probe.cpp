#include "probe.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <numeric>
#include <stdexcept>
#include <thread>
#include <vector>

#include "mapped_file.h"
#include "memory.h"

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace golgi {

namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// Where results go that nobody needs; an optimiser must assume that somebody does.
std::atomic<uint64_t> discarded;

void discard(uint64_t value) { discarded.fetch_xor(value, std::memory_order_relaxed); }

/// Calls `round(thread)`, which returns the work it did, on all threads at once until the time is over.
double rate(int n_threads, double seconds, const std::function<double(int)>& round) {
  std::atomic<int> n_ready{0};
  std::vector<double> rates(n_threads);
  const auto run = [&](int thread) {
    // The first round touches code and data; the clock speed settles while the threads wait for each other.
    round(thread);
    n_ready.fetch_add(1);
    while (n_ready.load() < n_threads) round(thread);
    const auto start = Clock::now();
    double done = 0, elapsed = 0;
    do {
      done += round(thread);
      elapsed = seconds_since(start);
    } while (elapsed < seconds);
    rates[thread] = done / elapsed;
  };
  std::vector<std::thread> others;
  const auto join = [&] {
    for (std::thread& other : others) other.join();
  };
  try {
    for (int i = 1; i < n_threads; i++) others.emplace_back(run, i);
  } catch (...) {
    // The system has no more threads: those that have begun must not wait for the rest.
    n_ready.store(n_threads);
    join();
    throw;
  }
  run(0);
  join();
  return std::accumulate(rates.begin(), rates.end(), 0.0);
}

/// More than the caches of large servers hold.
constexpr int64_t read_bytes = int64_t{512} << 20;
/// As much as is read between two looks at the clock.
constexpr int64_t round_bytes = int64_t{1} << 20;

/// Kept for the next probe, since touching it for the first time takes as long as probing.
const Block& read_block() {
  static const Block& block = *[] {
    auto* fresh = new Block(read_bytes);
#ifdef __linux__
    // The limit is the memory's, not that of looking up small pages.
    madvise(fresh->data(), static_cast<size_t>(read_bytes), MADV_HUGEPAGE);
#endif
    std::memset(fresh->data(), 1, static_cast<size_t>(read_bytes));
    return fresh;
  }();
  return block;
}

uint64_t sum_words(const uint8_t* data, int64_t bytes) {
  const auto* words = reinterpret_cast<const uint64_t*>(data);
  uint64_t sums[16] = {};
  for (int64_t i = 0; i < bytes / 8; i += 16) {
    for (int j = 0; j < 16; j++) sums[j] += words[i + j];
  }
  uint64_t sum = 0;
  for (const uint64_t s : sums) sum += s;
  return sum;
}

/// Each thread reads a part of its own from beginning to end, again and again, as fast kernels do.
Ceiling probe_read(int n_threads, double seconds) {
  const uint8_t* data = read_block().data();
  const int64_t part = read_bytes / n_threads / round_bytes * round_bytes;
  std::vector<int64_t> at(static_cast<size_t>(n_threads) * 16);  // a cache line for each thread
  const double per_second = rate(n_threads, seconds, [&](int thread) {
    int64_t& offset = at[static_cast<size_t>(thread) * 16];
    discard(sum_words(data + thread * part + offset, round_bytes));
    offset = (offset + round_bytes) % part;
    return static_cast<double>(round_bytes);
  });
  return {per_second, "loads"};
}

Ceiling probe_peak(const std::string& kind, int n_threads, double seconds) {
  const PeakLoop loop = peak_loop(kind);
  if (loop.instruction == nullptr) return {0, nullptr};
  constexpr int n_rounds = 4096;
  alignas(64) uint8_t operands[1024];
  for (int i = 0; i < 1024; i++) operands[i] = static_cast<uint8_t>(0x38 + i % 7);
  const double per_second = rate(n_threads, seconds, [&](int) {
    alignas(64) uint64_t result[8] = {};
    loop.run(n_rounds, operands, reinterpret_cast<uint8_t*>(result));
    for (const uint64_t word : result) discard(word);
    return n_rounds * loop.ops_per_round;
  });
  return {per_second, loop.instruction};
}

}  // namespace

Ceiling probe(const std::string& kind, int n_threads, double seconds) {
  if (kind == "read") return probe_read(n_threads, seconds);
  if (kind == "f32" || kind == "int8" || kind == "bf16") return probe_peak(kind, n_threads, seconds);
  throw std::invalid_argument("kind must be read, f32, int8 or bf16; got " + kind);
}

double touch(const std::string& path, int n_threads) {
  const auto start = Clock::now();
  const auto file = MappedFile::open(path);
  const int64_t part = file->size_bytes() / n_threads / 128 * 128;
  const auto read = [&](int thread) { discard(sum_words(file->data() + thread * part, part)); };
  std::vector<std::thread> others;
  try {
    for (int i = 1; i < n_threads; i++) others.emplace_back(read, i);
    read(0);
  } catch (...) {
    for (std::thread& other : others) other.join();
    throw;
  }
  for (std::thread& other : others) other.join();
  return seconds_since(start);
}

}  // namespace golgi
