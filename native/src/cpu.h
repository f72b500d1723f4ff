#pragma once

#include <vector>

#include "kernel_table.h"

namespace golgi {

/// The kernel tables that this CPU can run, best first.
const std::vector<const KernelTable*>& runnable_tables();

/// Physical cores that this process may run on, at least 1. Two hardware threads of one core share what kernels need.
int n_physical_cores();

}  // namespace golgi
