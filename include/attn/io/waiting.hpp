/// How do the threads of OpenMP wait for their next work? Decided before the program runs.
#pragma once

#include <Kokkos_Core.hpp>

#include <unistd.h>

#include <cstdlib>
#include <vector>

#ifdef KOKKOS_ENABLE_OPENMP
#include <omp.h>
#include <sched.h>
#endif

namespace attn::io {

#ifdef KOKKOS_ENABLE_OPENMP
namespace detail {

/// Where the environment binds threads (OMP_PROC_BIND), the runtime has bound this one to its place before `main`. A
/// program that is started anew would take that place for all there are, and run its threads there.
inline void leave_place() {
  cpu_set_t all;
  CPU_ZERO(&all);
  for (int place = 0; place < omp_get_num_places(); ++place) {
    std::vector<int> processors(static_cast<std::size_t>(omp_get_place_num_procs(place)));
    omp_get_place_proc_ids(place, processors.data());
    for (int const processor : processors) CPU_SET(static_cast<std::size_t>(processor), &all);
  }
  if (CPU_COUNT(&all) > 0) ::sched_setaffinity(0, sizeof all, &all);
}

}  // namespace detail
#endif

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
  detail::leave_place();
  ::execv("/proc/self/exe", const_cast<char* const*>(argv));
#endif
}

}  // namespace attn::io
