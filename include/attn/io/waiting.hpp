/// How do the threads of OpenMP wait for their next work? Decided before the program runs.
#pragma once

#include <Kokkos_Core.hpp>

#include <unistd.h>

#include <cstdlib>

namespace attn::io {

/// To be called first in `main`: lets threads spin for some microseconds at most before they sleep, unless the
/// environment says how they wait (OMP_WAIT_POLICY, GOMP_SPINCOUNT or KMP_BLOCKTIME).
///
/// By themselves they spin for milliseconds. That is fastest on a machine with nothing else to do; beside another busy
/// process, each parallel region then takes a time slice of the scheduler, and small models become a hundred times
/// slower (docs/performance.md). The OpenMP runtime reads these variables before `main`, so the program is started anew
/// in their presence, as the same process with the same arguments. Where that cannot be done, nothing happens.
inline void limit_spinning([[maybe_unused]] char const* const* argv) {
#ifdef KOKKOS_ENABLE_OPENMP
  for (char const* const name : {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"}) {
    if (std::getenv(name) != nullptr) return;
  }
  ::setenv("GOMP_SPINCOUNT", "1000", 1);
  ::setenv("KMP_BLOCKTIME", "0", 1);
  ::execv("/proc/self/exe", const_cast<char* const*>(argv));
#endif
}

}  // namespace attn::io
