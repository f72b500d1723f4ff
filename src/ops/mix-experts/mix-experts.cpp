#include "../../../native/src/isa.h"
#include "../../../native/src/ops/chunks.h"

namespace golgi::GOLGI_ISA {

namespace {

/// out = Σ over slots of weights[a] · x[a][...], for n elements of each slot, which lie `stride` apart.
void mix_slots(const float* x, int64_t stride, const float* weights, int64_t n_slots, float* out, int64_t n) {
  const auto mix = [&](int64_t i, auto... count) {
    Floats sum = Floats::zero();
    for (int64_t slot = 0; slot < n_slots; slot++) {
      sum = fma(Floats::all(weights[slot]), Floats::load(x + slot * stride + i, count...), sum);
    }
    sum.store(out + i, count...);
  };
  int64_t i = 0;
  for (; i + Floats::lanes <= n; i += Floats::lanes) mix(i);
  if (i < n) mix(i, n - i);
}

}  // namespace

void mix_experts(const MixExpertsArgs& a, Context& context) {
  // A row is cut up as well: a single one may have hundreds of slots.
  constexpr int64_t part = 512;
  const int64_t n_parts = (a.n_n + part - 1) / part;
  for_rows(context, a.n_T * n_parts, part * a.n_A, [&](int64_t index) {
    const int64_t t = index / n_parts, begin = index % n_parts * part;
    mix_slots(a.x + t * a.n_A * a.n_n + begin, a.n_n, a.weights + t * a.n_A, a.n_A, a.out + t * a.n_n + begin,
              std::min(part, a.n_n - begin));
  });
}

}  // namespace golgi::GOLGI_ISA
