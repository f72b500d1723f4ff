#include "../../../native/src/isa.h"

#include "../../../native/src/half.h"

namespace golgi::GOLGI_ISA {

void to_cache(const ToCacheArgs& a, Context& context) {
  constexpr int64_t chunk_size = 16384;
  context.parallel((a.n_rest + chunk_size - 1) / chunk_size, [&](int64_t chunk, int) {
    const int64_t from = chunk * chunk_size;
    const int64_t to = from + chunk_size < a.n_rest ? from + chunk_size : a.n_rest;
    for (int64_t i = from; i < to; i++) a.out[i] = f16_to_f32(f32_to_f16(a.x[i]));
  });
}

}  // namespace golgi::GOLGI_ISA
