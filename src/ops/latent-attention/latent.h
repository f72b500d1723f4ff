// One step of attention to latents, each sequence in the form that takes less work.
#pragma once

#include "absorbed.h"
#include "naive.h"

namespace golgi::GOLGI_ISA {

inline void attend_to_latents(const LatentStep& step, Context& context) {
  with_element(step.cache.type, [&]<class Element>(const Element*) {
    AbsorbedAttention<Element>(step, context).run();
    for_sequences(step.rows, [&](const LatentRows& rows) {
      if (is_naive(step, rows)) NaiveAttention<Element>(step, rows, context).run();
    });
  });
}

}  // namespace golgi::GOLGI_ISA
