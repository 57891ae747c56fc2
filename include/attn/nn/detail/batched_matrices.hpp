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

/// Matrix number `index` of the B x H.
template <class T, class Memory>
Tensor<T, 2, Memory> matrix_of_head(Tensor<T, 4, Memory> const& x, Index index) {
  return {x.data() + index / x.extent(1) * x.stride(0) + index % x.extent(1) * x.stride(1),
          {x.extent(2), x.extent(3)},
          {x.stride(2), x.stride(3)}};
}

/// c = a b for matrix number `head` of B x H, in the calling thread of a host.
template <Real T, class A, class B, class C>
void multiply_head(Index head, A const& a, B const& b, C const& c) {
  using Matrix = Tensor<T const, 2, Kokkos::HostSpace>;
  linalg::detail::gemm_tile<T>(T(1), Matrix(matrix_of_head(a, head)), Matrix(matrix_of_head(b, head)), T(0),
                               matrix_of_head(c, head));
}

/// An elementwise functor over some rows and columns, in the calling thread of a host.
template <Real T, class Functor>
void for_matrix(Index first_row, Index last_row, Index first_column, Index last_column, Functor const& functor) {
  for (Index row = first_row; row < last_row; ++row) {
    for_lanes<T>(first_column, last_column, [&](auto lanes, Index column) { functor(lanes, row, column); });
  }
}

/// c = alpha a b + beta c for each of the B x H matrices: a (B, H, m, k), b (B, H, k, n), c (B, H, m, n), with a unit
/// stride among the last two of each. On a host, a thread takes whole matrices.
template <ExecutionSpace Exec, Real T, class Memory>
void multiply(Exec const& exec, std::type_identity_t<T> alpha, std::type_identity_t<Tensor<T const, 4, Memory>> a,
              std::type_identity_t<Tensor<T const, 4, Memory>> b, std::type_identity_t<T> beta,
              Tensor<T, 4, Memory> const& c) {
  if (c.size() == 0) return;
  if constexpr (HostExecutionSpace<Exec>) {
    for_blocks(exec, "attn::multiply_batch", c.extent(0) * c.extent(1), [=](Index i) {
      linalg::detail::gemm_tile<T>(alpha, matrix_of_head(a, i), matrix_of_head(b, i), beta, matrix_of_head(c, i));
    });
  } else {
    attn::launch("attn::multiply_batch", Kokkos::RangePolicy<Exec, Kokkos::IndexType<Index>>(exec, 0, c.size()),
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
