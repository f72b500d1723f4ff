#include "../../../native/src/isa.h"
#include "../../../native/src/ops/normalise.h"

namespace golgi::GOLGI_ISA {

void rms_norm(const RmsNormArgs& a, Context& context) {
  for_rows(context, a.n_rest, a.n_d, [&](int64_t row) {
    const int64_t at = row * a.n_d;
    const float scale = rms_of(a.x + at, a.n_d, a.eps);
    if (a.scale) a.scale[row] = scale;
    const Floats divisor = Floats::all(scale);
    map(a.x + at, a.gain, a.out + at, a.n_d, [divisor](Floats x, Floats gain) { return x / divisor * gain; });
    if (a.normalized) map(a.x + at, a.normalized + at, a.n_d, [divisor](Floats x) { return x / divisor; });
  });
}

}  // namespace golgi::GOLGI_ISA
