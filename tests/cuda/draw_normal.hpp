/// Standard normal numbers, drawn on the device, where they are.
#pragma once

#include "attn/core/random.hpp"
#include "attn/core/tensor.hpp"

#include <cstdint>

namespace attn_cuda {

template <class X>
struct DrawNormal {
  X* to;
  attn::RandomKey key;

  ATTN_FUNCTION void operator()(attn::Index i) const { to[i] = X(attn::normal<float>(key, std::uint64_t(i))); }
};

/// Fills `n` numbers in memory of the device, and waits.
template <class X>
void draw_normal(X* to, attn::Index n, attn::RandomKey const& key) {
  Kokkos::parallel_for("draw_normal", Kokkos::RangePolicy<Kokkos::Cuda, Kokkos::IndexType<attn::Index>>(0, n),
                       DrawNormal<X>{to, key});
  Kokkos::fence();
}

}  // namespace attn_cuda
