/// The concepts that guard every template boundary below activations and modules: spaces, views.
#pragma once

#include "attn/core/kokkos_compat.hpp"

#include <concepts>
#include <cstddef>
#include <type_traits>

namespace attn {

/// Sizes, strides and indices into tensors.
using Index = std::ptrdiff_t;

/// An execution space of Kokkos: where work runs. Functions take an *instance* of one as their first argument, are
/// asynchronous on it, and fence only where they return a value of the host.
template <class E>
concept ExecutionSpace = Kokkos::is_execution_space<E>::value;

/// An execution space whose threads run on the host, and may call BLAS and use SIMD packs.
template <class E>
concept HostExecutionSpace = ExecutionSpace<E> && bool(Kokkos::SpaceAccessibility<E, Kokkos::HostSpace>::accessible) &&
                             std::same_as<typename E::memory_space, Kokkos::HostSpace>;

/// A Kokkos view of any data type, layout and space.
template <class V>
concept KokkosView = Kokkos::is_view<V>::value;

/// Memory that threads of `E` may read and write.
template <class MemorySpace, class E>
concept AccessibleFrom = bool(Kokkos::SpaceAccessibility<E, MemorySpace>::accessible);

}  // namespace attn
