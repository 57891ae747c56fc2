/// on_device: a staged batch where the model runs.
#pragma once

#include "attn/core/tensor.hpp"

#include <concepts>

namespace attn::data {

/// The elements of a staging buffer in the memory of `ctx`: the buffer itself on a host, elsewhere a copy that lives
/// until `ctx.begin_step()`. Asynchronous on `ctx.exec`: the buffer must not change before
/// `ctx.staged.wait()`.
template <class Ctx, KokkosView View>
auto on_device(Ctx& ctx, View const& staged) {
  using T = typename View::non_const_value_type;
  using Memory = typename Ctx::MemorySpace;
  constexpr int rank = int(View::rank());
  if constexpr (std::same_as<typename View::memory_space, Memory>) {
    ctx.staged.record(ctx.exec);
    return Tensor<T const, rank, Memory>(staged);
  } else {
    Extents<rank> extents{};
    for (int r = 0; r < rank; ++r) extents[r] = static_cast<Index>(staged.extent(r));
    auto const there = ctx.template tensor<T>(extents);
    Kokkos::deep_copy(ctx.exec, Kokkos::View<T*, Memory>(there.data(), staged.size()),
                      Kokkos::View<T const*, typename View::memory_space>(staged.data(), staged.size()));
    ctx.staged.record(ctx.exec);
    return Tensor<T const, rank, Memory>(there);
  }
}

}  // namespace attn::data
