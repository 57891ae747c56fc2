/// Launches: how kernels reach a device, with their arguments by value.
#pragma once

#include "attn/core/concepts.hpp"

namespace attn {

namespace detail {

/// What a kernel of CUDA may be given by value, less what Kokkos adds to a functor: policy, sizes of teams. The largest
/// of attn are attention's portable kernels, backward.
inline constexpr std::size_t launch_bytes = 4096 - 512;

/// A device's policy for launches that take the functor by value.
///
/// Without the hint, Kokkos before 5 copies a functor beyond 512 bytes to constant memory, by a buffer that all
/// launches share: the host waits until the kernel before it has been read from there, and a graph of CUDA that
/// recorded the copy repeats it with whatever the buffer holds by then.
template <class Functor, class Policy>
auto by_value(Policy const& policy) {
  static_assert(sizeof(Functor) <= launch_bytes,
                "launch: give the functor pointers to large tables, a kernel takes 3584 bytes by value");
  return Kokkos::Experimental::require(policy, Kokkos::Experimental::WorkItemProperty::HintLightWeight);
}

}  // namespace detail

/// Calls `functor` for all items of a Kokkos policy: `Kokkos::parallel_for` as attn launches it, with the functor as
/// an argument of the kernel, whatever its size. Asynchronous. Costs up to 3584 bytes a launch; larger functors do not
/// compile.
template <class Policy, class Functor>
void launch(char const* name, Policy const& policy, Functor const& functor) {
  if constexpr (HostExecutionSpace<typename Policy::execution_space>) {
    Kokkos::parallel_for(name, policy, functor);
  } else {
    Kokkos::parallel_for(name, detail::by_value<Functor>(policy), functor);
  }
}

namespace detail {

/// Calls functor(0) where kernels run, in their order: what changes a few numbers from step to step.
template <ExecutionSpace Exec, class Functor>
void run_once(Exec const& exec, char const* name, Functor const& functor) {
  launch(name, Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, 1), functor);
}

}  // namespace detail

}  // namespace attn
