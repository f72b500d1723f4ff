// What kernels see: the step's rows, weights as they lie in the file, the cache, and a way to share work out.
//
// Everything here is checked before a step begins (the tape was verified, the file validated), so kernels do not check.
#pragma once

#include <cstdint>

#include "format.h"

namespace golgi {

/// Where one row of a weight lies.
struct StoredRow {
  const uint8_t* data;
  const uint8_t* scales;  ///< null: the format has none apart
};

/// The scales of a segment's stored rows, of formats that keep them apart. Stored row s is row first_row + step · s of a
/// matrix, whose rows share a row of scales in groups.
struct SegmentScales {
  const uint8_t* data;     ///< first byte of the matrix's scales; null: the format has none apart
  int64_t row_bytes;       ///< distance between rows of scales
  int64_t rows_per_scale;  ///< rows of one group
  int64_t first_row;
  int64_t step;

  const uint8_t* row(int64_t stored) const {
    return data ? data + (first_row + step * stored) / rows_per_scale * row_bytes : nullptr;
  }
};

/// Consecutive rows of a weight that lie together in a mapped file.
struct Segment {
  const uint8_t* data;      ///< first byte of the segment's first stored row
  int64_t row_bytes;        ///< distance between stored rows
  int64_t first_row;        ///< row of the weight that the segment begins with
  int64_t n_rows;
  const int32_t* stored_row;  ///< [n_rows] which stored row holds row i of the segment; null: i
  SegmentScales scales;

  /// Of row i of the segment.
  StoredRow row(int64_t i) const {
    const int64_t stored = stored_row ? stored_row[i] : i;
    return {data + stored * row_bytes, scales.row(stored)};
  }
};

/// A matrix [n_rows, n_cols] in rows of one format, spread over one or more segments.
struct Weight {
  Format format;
  int64_t n_rows, n_cols;
  const Segment* segments;
  int32_t n_segments;

  const Segment& segment_of(int64_t row) const {
    // By halves: experts make hundreds of segments.
    int32_t begin = 0, end = n_segments;
    while (begin + 1 < end) {
      const int32_t middle = begin + (end - begin) / 2;
      (row < segments[middle].first_row ? end : begin) = middle;
    }
    return segments[begin];
  }
  StoredRow row(int64_t r) const {
    const Segment& s = segment_of(r);
    return s.row(r - s.first_row);
  }
};

constexpr int64_t page_size = 16;  ///< slots of one page; PAGE_SIZE in src/tape/rows.ts

/// For each row its first visible key, and where its (row, key) pairs begin in a ragged array.
struct VisibleKeys {
  const int32_t* first;   ///< [T]
  const int64_t* offset;  ///< [T + 1]
};

/// The rows of one step; see src/tape/rows.ts.
struct Rows {
  int64_t n_rows;
  const int32_t* sequence;      ///< [T] index of the row's sequence
  const int32_t* position;      ///< [T]
  const int32_t* rope_variant;  ///< [n_sequences]
  const int32_t* const* pages;  ///< [n_sequences] page numbers of positions [0, 16), [16, 32), ...

  /// Under a window (0: none); prepared before the step for every window that its program uses.
  const VisibleKeys& visible(int64_t window) const;

  const int64_t* windows;  ///< [n_windows]
  const VisibleKeys* visible_keys;
  int32_t n_windows;
};

inline const VisibleKeys& Rows::visible(int64_t window) const {
  int32_t i = 0;
  while (i + 1 < n_windows && windows[i] != window) i++;
  return visible_keys[i];
}

/// How cached keys and values are stored.
enum class KvType : int32_t { f32 = 0, f16 = 1 };

/// One layer's keys and values. A page holds k [n_kv_heads][d_k][16 slots], then v [n_kv_heads][16 slots][d_v]; kernels reach
/// into it through ops/kv_page.h.
struct Cache {
  KvType type;
  int64_t n_kv_heads, d_k, d_v;
  uint8_t* const* page;  ///< by page number: where the layer's part of the page begins
  int64_t v_offset;      ///< bytes from the beginning of that part to its first v

  int64_t element_bytes() const { return type == KvType::f32 ? 4 : 2; }
};

/// Shares the work of one op out over the threads. Chunks are fixed by the op's sizes, never by the number of
/// threads, so that results do not depend on it; which thread takes which chunk is decided by an atomic counter.
class Context {
 public:
  virtual ~Context() = default;
  virtual int n_threads() const = 0;

  /// Calls `work(chunk, thread)` for every chunk in [0, n_chunks); returns when all are done.
  template <class Work>
  void parallel(int64_t n_chunks, const Work& work) {
    if (n_chunks <= 0) return;
    run_chunks(n_chunks, &call<Work>, const_cast<Work*>(&work));
  }

  /// At least `bytes` of memory for this thread, aligned to 64 bytes; what it held is undefined, and the next
  /// request by the same thread may move it. Call it inside `parallel`.
  virtual void* scratch(int thread, int64_t bytes) = 0;

  /// As `scratch`, one for all threads; ask for it outside `parallel`. Valid until the op ends.
  virtual void* shared_scratch(int64_t bytes) = 0;

 protected:
  using Call = void (*)(void* work, int64_t chunk, int thread);
  virtual void run_chunks(int64_t n_chunks, Call call, void* work) = 0;

 private:
  template <class Work>
  static void call(void* work, int64_t chunk, int thread) {
    (*static_cast<Work*>(work))(chunk, thread);
  }
};

}  // namespace golgi
