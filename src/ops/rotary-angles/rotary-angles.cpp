#include "../../../native/src/isa.h"
#include "../../../native/src/ops/rotary.h"

namespace golgi::GOLGI_ISA {

void rotary_angles(const RotaryAnglesArgs& a, Context&) {
  for (int64_t row = 0; row < a.n_T; row++) {
    angles_of(*a.rows, row, frequencies_of(*a.rows, row, a.freqs, a.n_r), a.n_r, a.out + row * a.n_r);
  }
}

}  // namespace golgi::GOLGI_ISA
