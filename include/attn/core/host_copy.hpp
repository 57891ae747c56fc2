/// Copies of flat arrays between the host and the memory of a computation.
#pragma once

#include "attn/core/tensor.hpp"

#include <type_traits>
#include <vector>

namespace attn {

/// `n` numbers in `Memory`, on the host. Waits for all work.
template <class Memory, class T>
std::vector<std::remove_const_t<T>> host_copy(T* from, Index n) {
  using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
  using Value = std::remove_const_t<T>;
  std::vector<Value> to(static_cast<std::size_t>(n));
  Kokkos::fence("attn::host_copy");
  Kokkos::deep_copy(Kokkos::View<Value*, Kokkos::HostSpace, Unmanaged>(to.data(), to.size()),
                    Kokkos::View<Value const*, Memory, Unmanaged>(from, to.size()));
  return to;
}
/// The numbers of a dense tensor, in memory of the host.
template <class T, class Memory>
std::vector<std::remove_const_t<T>> host_copy(Tensor<T, 1, Memory> const& from) {
  return host_copy<Memory>(from.data(), from.size());
}

/// The numbers of `from` to `Memory`. Waits for all work.
template <class Memory, class T>
void copy_from_host(std::vector<T> const& from, T* to) {
  using Unmanaged = Kokkos::MemoryTraits<Kokkos::Unmanaged>;
  Kokkos::fence("attn::copy_from_host");
  Kokkos::deep_copy(Kokkos::View<T*, Memory, Unmanaged>(to, from.size()),
                    Kokkos::View<T const*, Kokkos::HostSpace, Unmanaged>(from.data(), from.size()));
}
/// Fills a dense tensor from memory of the host.
template <class T, class Memory>
void copy_from_host(std::vector<T> const& from, Tensor<T, 1, Memory> const& to) {
  copy_from_host<Memory>(from, to.data());
}

}  // namespace attn
