/// A matrix product of one thread in plain C++: what runs where no BLAS serves the scalar.
///
/// Panels of both operands are packed so that the innermost loop reads memory in order, whatever the strides were, and
/// keeps a block of the result in registers (Goto and van de Geijn 2008).
#pragma once

#include "attn/core/pack.hpp"
#include "attn/core/tensor.hpp"

#include <algorithm>
#include <utility>
#include <vector>

namespace attn::linalg::detail {

/// Calls body(0), ..., body(N - 1), each with a constant: the loop is unrolled whatever the optimisation level.
template <int N, class Body>
inline void unrolled(Body const& body) {
  [&]<int... I>(std::integer_sequence<int, I...>) { (body(std::integral_constant<int, I>()), ...); }
  (std::make_integer_sequence<int, N>());
}

template <Real T>
struct PortableGemm {
  using Vector = Pack<T>;
  static constexpr int width = Vector::width;
  static constexpr int vectors = vector_bytes == 64 ? 3 : 2;  // registers across a block of the result
  static constexpr int height = vector_bytes == 64 ? 8 : 4;   // and down
  static constexpr int across = vectors * width;
  static constexpr Index depth = 256;  // of a panel: across * depth scalars of b stay in the first cache
  static constexpr Index rows = 96;    // of a block of a: stays in the second cache
  static constexpr Index columns = 1536 / across * across;

  template <class S>
  using Matrix = Tensor<S, 2, Kokkos::HostSpace>;

  /// c = alpha a b + beta c. a (m, k) and b (k, n) of any strides, c (m, n) row-major.
  static void run(T alpha, Matrix<T const> a, Matrix<T const> b, T beta, Matrix<T> c) {
    Index const m = c.extent(0), n = c.extent(1), k = a.extent(1);
    if (k == 0) scale(beta, c);
    thread_local std::vector<T> packed_a, packed_b;
    packed_a.resize(static_cast<std::size_t>(rows * depth));
    packed_b.resize(static_cast<std::size_t>(columns * depth));
    for (Index j = 0; j < n; j += columns) {
      Index const j_size = std::min(columns, n - j);
      for (Index p = 0; p < k; p += depth) {
        Index const p_size = std::min(depth, k - p);
        pack<across>(b.slice(0, p, p + p_size).slice(1, j, j + j_size).transpose(0, 1), T(1), packed_b.data());
        for (Index i = 0; i < m; i += rows) {
          Index const i_size = std::min(rows, m - i);
          pack<height>(a.slice(0, i, i + i_size).slice(1, p, p + p_size), alpha, packed_a.data());
          block(p_size, packed_a.data(), packed_b.data(), p == 0 ? beta : T(1),
                c.slice(0, i, i + i_size).slice(1, j, j + j_size));
        }
      }
    }
  }

 private:
  static void scale(T beta, Matrix<T> c) {
    for (Index i = 0; i < c.extent(0); ++i) {
      for (Index j = 0; j < c.extent(1); ++j) c(i, j) = beta == T(0) ? T(0) : beta * c(i, j);
    }
  }

  /// x (lines, depth) -> panels of `Lines` lines, each with the depth outermost; missing lines are zero.
  template <int Lines>
  static void pack(Matrix<T const> x, T alpha, T* to) {
    for (Index first = 0; first < x.extent(0); first += Lines) {
      Index const lines = std::min(Index(Lines), x.extent(0) - first);
      T const* const from = x.data() + first * x.stride(0);
      for (Index p = 0; p < x.extent(1); ++p, to += Lines) {
        for (Index l = 0; l < lines; ++l) to[l] = alpha * from[l * x.stride(0) + p * x.stride(1)];
        for (Index l = lines; l < Lines; ++l) to[l] = T(0);
      }
    }
  }

  static void block(Index k, T const* a, T const* b, T beta, Matrix<T> c) {
    for (Index j = 0; j < c.extent(1); j += across, b += across * k) {
      T const* a_panel = a;
      for (Index i = 0; i < c.extent(0); i += height, a_panel += height * k) {
        Index const i_size = std::min(Index(height), c.extent(0) - i),
                    j_size = std::min(Index(across), c.extent(1) - j);
        registers(k, a_panel, b, beta, c.slice(0, i, i + i_size).slice(1, j, j + j_size));
      }
    }
  }

  /// c (<= height, <= across) = a panel times b panel + beta c.
  static void registers(Index k, T const* a, T const* b, T beta, Matrix<T> c) {
    Vector sum[height * vectors];  // (height, vectors), all in registers
    unrolled<height * vectors>([&](auto iv) { sum[iv] = Vector(T(0)); });
    for (Index p = 0; p < k; ++p, a += height, b += across) {
      Vector b_row[vectors];
      unrolled<vectors>([&](auto v) { b_row[v] = Vector::load(b + v * width); });
      unrolled<height>([&](auto i) {
        Vector const a_i(a[i]);
        unrolled<vectors>([&](auto v) { sum[i * vectors + v] += a_i * b_row[v]; });
      });
    }
    T result[height][across];
    unrolled<height * vectors>([&](auto iv) { sum[iv].store(&result[iv / vectors][iv % vectors * width]); });
    for (Index i = 0; i < c.extent(0); ++i) {
      T* const row = c.data() + i * c.stride(0);
      if (beta == T(0)) {
        std::copy_n(result[i], c.extent(1), row);
      } else {
        for (Index j = 0; j < c.extent(1); ++j) row[j] = result[i][j] + beta * row[j];
      }
    }
  }
};

}  // namespace attn::linalg::detail
