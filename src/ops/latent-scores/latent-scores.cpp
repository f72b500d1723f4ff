#include "../../../native/src/isa.h"
#include "../latent-attention/latent.h"

namespace golgi::GOLGI_ISA {

void latent_scores(const LatentScoresArgs& a, Context& context) {
  LatentStep step{*a.rows, *a.cache, a.n_H};
  step.q = a.q;
  step.w_k = a.wK;
  step.nope = a.nope;
  step.scale = static_cast<float>(a.scale);
  step.scores = a.out;
  attend_to_latents(step, context);
}

}  // namespace golgi::GOLGI_ISA
