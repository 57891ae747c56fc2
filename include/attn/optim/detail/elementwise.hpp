/// Kernels over the flat buffers of parameters, and buffers of the same layout.
#pragma once

#include "attn/core/elementwise.hpp"
#include "attn/nn/context.hpp"
#include "attn/nn/parameters.hpp"

#include <string>

namespace attn::optim::detail {

/// Optimizers see a flat buffer as rows of one granule; a granule belongs to one parameter.
inline constexpr Index granule = nn::ParameterRegistry::granule;

/// Applies `update(lanes, row, column)` to the element row * granule + column of all granules. Asynchronous on `exec`.
/// The same bits for any number of threads, since no element knows of another.
template <class T, ExecutionSpace Exec, class Update>
void for_each_element(Exec const& exec, char const* label, Index extent, Update const& update) {
  elementwise<T>(exec, label, extent / granule, granule, update);
}

/// By what losses are scaled; null where they are not, or `ctx` knows of no losses.
template <class Ctx>
nn::LossScaleNumbers* loss_scale_of(Ctx const& ctx) {
  if constexpr (requires { ctx.loss_scale; }) {
    return ctx.loss_scale;
  } else {
    return nullptr;
  }
}

/// A buffer laid out as the parameters, zero where it is new. Grows with the registry; allocates nothing otherwise.
template <class T, class Memory>
void fit_to(Kokkos::View<T*, Memory>& buffer, Index extent, char const* label) {
  if (Index(buffer.extent(0)) >= extent) return;
  Kokkos::View<T*, Memory> const larger(std::string(label), static_cast<std::size_t>(extent));
  Kokkos::deep_copy(Kokkos::subview(larger, std::pair(std::size_t(0), buffer.extent(0))), buffer);
  buffer = larger;
}

}  // namespace attn::optim::detail
