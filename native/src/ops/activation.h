// The activation functions, each on a vector.
#pragma once

#include "../isa.h"

namespace golgi::GOLGI_ISA {

/// x · sigmoid(y). The exponential of −|y| never overflows, and keeps small results accurate where y is far below 0.
inline Floats gated(Floats x, Floats y) {
  const Floats e = exp(-abs(y));
  const Floats numerator = select_less(y, Floats::zero(), e, Floats::all(1));
  return x * numerator / (Floats::all(1) + e);
}

inline Floats silu(Floats x) { return gated(x, x); }

/// 0.5·x·(1 + tanh u) = x · sigmoid(2u) with u = √(2/π)·(x + 0.044715·x³).
inline Floats gelu_tanh(Floats x) {
  const Floats slope = fma(Floats::all(0.0713548162726f), x * x, Floats::all(1.5957691216057f));
  return gated(x, x * slope);
}

/// Φ(−a) for a >= 0, the tail of the normal distribution, to about 5e-7 of itself down to Φ(−9): e^(−a²/2) · t · p(t)
/// with t = 1 / (1 + 0.26·a) and p fitted for the least relative error on [0, 10].
inline Floats normal_tail(Floats a) {
  a = min(a, Floats::all(20));  // Φ(−20) is 0 in float32
  const Floats t = Floats::all(1) / fma(Floats::all(0.26f), a, Floats::all(1));
  Floats p = Floats::all(0.03282958777f);
  p = fma(p, t, Floats::all(-0.1643560975f));
  p = fma(p, t, Floats::all(0.275889434f));
  p = fma(p, t, Floats::all(-0.1796920582f));
  p = fma(p, t, Floats::all(0.1815299321f));
  p = fma(p, t, Floats::all(0.04186766386f));
  p = fma(p, t, Floats::all(0.1055015776f));
  p = fma(p, t, Floats::all(0.1026475207f));
  p = fma(p, t, Floats::all(0.1037824394f));
  // a² in float32 alone would be off by up to a²·6e-8, and so would the exponential by that factor.
  const Floats scaled = a * Floats::all(4097);
  const Floats high = scaled - (scaled - a);  // the upper 12 bits of a: its square is exact
  const Floats rest = Floats::all(-0.5f) * (a - high) * (a + high);
  Floats correction = fma(Floats::all(1.0f / 6), rest, Floats::all(0.5f));
  correction = fma(correction * rest, rest, rest);  // e^rest − 1
  const Floats e = exp(Floats::all(-0.5f) * high * high);
  return fma(e, correction, e) * t * p;
}

/// x · Φ(x).
inline Floats gelu(Floats x) {
  const Floats tail = normal_tail(abs(x));
  return x * select_less(x, Floats::zero(), tail, Floats::all(1) - tail);
}

inline Floats relu(Floats x) { return select_less(x, Floats::zero(), Floats::zero(), x); }

inline Floats sigmoid(Floats x) { return gated(Floats::all(1), x); }

/// Calls `f` with the function of that name; Fn is the enumeration of an op's arguments, with sigmoid or without.
template <class Fn, class F>
void with_activation(Fn fn, const F& f) {
  if constexpr (requires { Fn::sigmoid; }) {
    if (fn == Fn::sigmoid) return f([](Floats x) { return sigmoid(x); });
  }
  switch (fn) {
    case Fn::silu: return f([](Floats x) { return silu(x); });
    case Fn::gelu: return f([](Floats x) { return gelu(x); });
    case Fn::gelu_tanh: return f([](Floats x) { return gelu_tanh(x); });
    case Fn::relu: return f([](Floats x) { return relu(x); });
    default: return;
  }
}

/// Elements of one chunk: an activation costs several times a load and a store.
constexpr int64_t activations_per_chunk = 4096;

}  // namespace golgi::GOLGI_ISA
