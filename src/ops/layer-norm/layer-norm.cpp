#include "../../../native/src/isa.h"
#include "../../../native/src/ops/normalise.h"

namespace golgi::GOLGI_ISA {

void layer_norm(const LayerNormArgs& a, Context& context) {
  for_rows(context, a.n_rest, a.n_d, [&](int64_t row) {
    const int64_t at = row * a.n_d;
    float* out = a.out + at;
    center_row(a.x + at, out, a.n_d);
    const float scale = rms_of(out, a.n_d, a.eps);
    if (a.scale) a.scale[row] = scale;
    const Floats divisor = Floats::all(scale);
    if (a.normalized) map(out, a.normalized + at, a.n_d, [divisor](Floats x) { return x / divisor; });
    map(out, a.gain, out, a.n_d, [divisor](Floats x, Floats gain) { return x / divisor * gain; });
    map(out, a.bias, out, a.n_d, [](Floats x, Floats bias) { return x + bias; });
  });
}

}  // namespace golgi::GOLGI_ISA
