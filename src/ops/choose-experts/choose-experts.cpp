#include "../../../native/src/isa.h"
#include "../../../native/src/ops/ranked.h"

namespace golgi::GOLGI_ISA {

namespace {

/// Whether expert i is chosen before expert j.
bool is_preferred(const float* limited, const float* selection, int32_t i, int32_t j) {
  const bool is_tie = limited[i] == limited[j] || (std::isnan(limited[i]) && std::isnan(limited[j]));
  return is_tie ? comes_before(selection, i, j) : comes_before(limited, i, j);
}

}  // namespace

void choose_experts(const ChooseExpertsArgs& a, Context& context) {
  for_rows(context, a.n_T, a.n_n, [&](int64_t t) {
    const float* limited = a.limited + t * a.n_n;
    const float* selection = a.selection + t * a.n_n;
    int32_t* chosen = a.out + t * a.k;
    first_of(static_cast<int32_t>(a.n_n), static_cast<int32_t>(a.k), chosen,
             [=](int32_t i, int32_t j) { return is_preferred(limited, selection, i, j); });
    std::sort(chosen, chosen + a.k, [=](int32_t i, int32_t j) { return comes_before(selection, i, j); });
  });
}

}  // namespace golgi::GOLGI_ISA
