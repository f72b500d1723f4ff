// Soft capping of logits and attention scores.
#pragma once

#include "../isa.h"

namespace golgi::GOLGI_ISA {

/// Within 2e-7 relative, also near 0; ±inf to ±1, NaN to NaN. The polynomial for small x is that of Cephes' tanhf.
inline Floats tanh(Floats x) {
  const Floats z = x * x;
  Floats p = Floats::all(-5.70498872745e-3f);
  p = fma(p, z, Floats::all(2.06390887954e-2f));
  p = fma(p, z, Floats::all(-5.37397155531e-2f));
  p = fma(p, z, Floats::all(1.33314422036e-1f));
  p = fma(p, z, Floats::all(-3.33332819422e-1f));
  const Floats small = fma(p * z, x, x);
  const Floats a = abs(x);
  const Floats large = Floats::all(1) - Floats::all(2) / (exp(a + a) + Floats::all(1));
  return select_less(a, Floats::all(0.625f), small, copy_sign(large, x));
}

/// cap · tanh(x / cap).
inline Floats soft_capped(Floats x, Floats cap) { return cap * tanh(x / cap); }

}  // namespace golgi::GOLGI_ISA
