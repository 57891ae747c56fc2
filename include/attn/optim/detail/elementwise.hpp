/// Kernels over the flat buffers of parameters: one formula, in packs on the host and an element a thread elsewhere.
#pragma once

#include "attn/core/pack.hpp"
#include "attn/nn/parameters.hpp"

#include <algorithm>

namespace attn::optim::detail {

inline constexpr Index granule = nn::ParameterRegistry::granule;

/// `granule` elements from `p` on: a pack on the host, or one element.
template <class S, class T>
ATTN_FUNCTION S load(T const* p) {
  if constexpr (std::same_as<S, T>) {
    return *p;
  } else {
    return S::load(p);
  }
}
template <class S, class T>
ATTN_FUNCTION void store(T* p, S value) {
  if constexpr (std::same_as<S, T>) {
    *p = value;
  } else {
    value.store(p);
  }
}

/// `update.template at<S>(i)` for the elements i ... of each granule, in packs S.
template <class T, class Update>
struct UpdateGranules {
  using S = Pack<T, std::min(int(granule), Pack<T>::width)>;
  Update update;

  void operator()(Index number) const {
    for (Index i = number * granule; i < (number + 1) * granule; i += S::width) update.template at<S>(i);
  }
};

template <class T, class Update>
struct UpdateElements {
  Update update;

  ATTN_FUNCTION void operator()(Index i) const { update.template at<T>(i); }
};

/// Calls `update.template at<S>(i)` for all i < extent, a multiple of the granule. Asynchronous on `exec`. The same
/// bits for any number of threads, since no element knows of another.
template <class T, ExecutionSpace Exec, class Update>
void for_each_element(Exec const& exec, char const* label, Index extent, Update const& update) {
  using Policy = Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>;
  if constexpr (HostExecutionSpace<Exec>) {
    Kokkos::parallel_for(label, Policy(exec, 0, extent / granule), UpdateGranules<T, Update>{update});
  } else {
    Kokkos::parallel_for(label, Policy(exec, 0, extent), UpdateElements<T, Update>{update});
  }
}

/// A buffer laid out as the parameters, zero where it is new. Grows with the registry; allocates nothing otherwise.
template <class T, class Memory>
void fit_to(Kokkos::View<T*, Memory>& buffer, Index extent, char const* label) {
  if (Index(buffer.extent(0)) >= extent) return;
  Kokkos::View<T*, Memory> const larger(label, static_cast<std::size_t>(extent));
  Kokkos::deep_copy(Kokkos::subview(larger, std::pair(std::size_t(0), buffer.extent(0))), buffer);
  buffer = larger;
}

/// For each granule whether weight decay applies to it: 1 or 0.
template <class T, class Memory>
Kokkos::View<T*, Memory> decay_by_granule(nn::ParameterRegistry const& registry) {
  Kokkos::View<T*, Memory> const decays("attn::optim::decays", static_cast<std::size_t>(registry.extent() / granule));
  auto const host = Kokkos::create_mirror_view(Kokkos::HostSpace(), decays);
  Kokkos::deep_copy(host, T(0));
  for (auto const& entry : registry.entries()) {
    for (Index i = entry.offset; entry.decays && i < entry.offset + entry.size; i += granule) host(i / granule) = T(1);
  }
  Kokkos::deep_copy(decays, host);
  return decays;
}

}  // namespace attn::optim::detail
