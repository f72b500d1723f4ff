// What every kernel includes. Kernels are compiled once per ISA with -DGOLGI_ISA=portable, avx2, avx512 or neon, each
// time into the namespace golgi::GOLGI_ISA.
#pragma once

#include "../generated/ops.h"
#include "kernel.h"
#include "simd.h"
