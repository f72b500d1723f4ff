#include "../../../native/src/isa.h"
#include "../latent-attention/latent.h"

namespace golgi::GOLGI_ISA {

void latent_mix(const LatentMixArgs& a, Context& context) {
  LatentStep step{*a.rows, *a.cache, a.n_H};
  step.given_pattern = a.pattern;
  step.w_v = a.wV;
  step.v_dim = a.v_dim;
  step.z = a.out;
  attend_to_latents(step, context);
}

}  // namespace golgi::GOLGI_ISA
