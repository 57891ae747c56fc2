/// Many small matrices at once: products, and a function of each of them.
#pragma once

#include "attn/core/elementwise.hpp"
#include "attn/core/tensor.hpp"
#include "attn/linalg/gemm.hpp"

namespace attn::nn::detail {

template <class T, class Memory>
struct BatchedProductElement {
  T alpha;
  Tensor<T const, 4, Memory> a, b;
  T beta;
  Tensor<T, 4, Memory> c;

  ATTN_FUNCTION void operator()(Index index) const {
    Index const j = index % c.extent(3), i = index / c.extent(3) % c.extent(2);
    Index const matrix = index / (c.extent(2) * c.extent(3)), h = matrix % c.extent(1), n = matrix / c.extent(1);
    T sum = 0;
    for (Index k = 0; k < a.extent(3); ++k) sum += a(n, h, i, k) * b(n, h, k, j);
    c(n, h, i, j) = alpha * sum + (beta == T(0) ? T(0) : beta * c(n, h, i, j));
  }
};

/// c = alpha a b + beta c for each of the B x H matrices: a (B, H, m, k), b (B, H, k, n), c (B, H, m, n), with a unit
/// stride among the last two of each. On a host, a thread takes whole matrices.
template <ExecutionSpace Exec, Real T, class Memory>
void multiply(Exec const& exec, std::type_identity_t<T> alpha, std::type_identity_t<Tensor<T const, 4, Memory>> a,
              std::type_identity_t<Tensor<T const, 4, Memory>> b, std::type_identity_t<T> beta,
              Tensor<T, 4, Memory> const& c) {
  if (c.size() == 0) return;
  if constexpr (HostExecutionSpace<Exec>) {
    auto const matrix = []<class U>(Tensor<U, 4, Memory> const& x, Index n, Index h) {
      return Tensor<U, 2, Memory>(x.data() + n * x.stride(0) + h * x.stride(1), {x.extent(2), x.extent(3)},
                                  {x.stride(2), x.stride(3)});
    };
    for_blocks(exec, "attn::multiply_batch", c.extent(0) * c.extent(1), [=](Index i) {
      Index const n = i / c.extent(1), h = i % c.extent(1);
      linalg::detail::gemm_tile<T>(alpha, matrix(a, n, h), matrix(b, n, h), beta, matrix(c, n, h));
    });
  } else {
    Kokkos::parallel_for("attn::multiply_batch", Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, c.size()),
                         BatchedProductElement<T, Memory>{alpha, a, b, beta, c});
  }
}

/// to = diagonal I + factor from, for square matrices in a row; `from` may be null.
template <class T>
struct UnitPlus {
  T diagonal;
  T factor;
  T const* from;
  T* to;
  Index m;
  bool adds;  // to what is there
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    using Value = typename Lanes::Value;
    Index const at = row * m + column, i = row % m;
    Value value = one_hot(lanes, column, i, diagonal, 0);
    if (from != nullptr) value += Value(factor) * lanes.load(from + at);
    if (adds) value += lanes.load(to + at);
    lanes.store(to + at, value);
  }
};

/// Sets (or adds to) the contiguous square matrices `to` (B, H, m, m).
template <ExecutionSpace Exec, class T, class Memory>
void unit_plus(Exec const& exec, T diagonal, T factor, T const* from, Tensor<T, 4, Memory> const& to,
               bool adds = false) {
  Index const m = to.extent(3);
  elementwise<T>(exec, "attn::unit_plus", to.size() / std::max(m, Index(1)), m,
                 UnitPlus<T>{diagonal, factor, from, to.data(), m, adds});
}

}  // namespace attn::nn::detail
