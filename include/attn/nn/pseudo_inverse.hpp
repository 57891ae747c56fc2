/// The Moore-Penrose inverse of small square matrices by an iteration of products (Razavi et al. 2014, as Xiong et al.
/// 2021 use it), and its gradient.
#pragma once

#include "attn/nn/detail/batched_matrices.hpp"
#include "attn/nn/module.hpp"

#include <limits>
#include <vector>

namespace attn::nn {

/// What the iteration starts from.
enum class PseudoInverseStart {
  /// K^T over the greatest column sum of all matrices of the batch: for softmax, whose entries are positive. One
  /// sequence's result depends on the others of its batch, as in the published code. Sums that are not positive give 0.
  column_sum,
  /// K^T / (|K|_1 |K|_inf) for each matrix: converges for every matrix, whatever the signs.
  norms,
};

namespace detail {

/// The divisors of one matrix's start, and the column and the row that set them.
template <class T>
struct StartDivisors {
  T column_sum, row_sum;  // 1 where a divisor is not used
  Index matrix;           // whose column it is
  Index column, row;
  bool usable;  // else the start is zero
};

template <class T>
struct FindDivisors {
  T const* k;
  StartDivisors<T>* divisors;
  Index m;
  bool norms;

  ATTN_FUNCTION void operator()(Index matrix) const {
    T const* const x = k + matrix * m * m;
    StartDivisors<T> d{T(0), T(1), matrix, 0, 0, false};
    for (Index j = 0; j < m; ++j) {
      T sum = 0;
      for (Index i = 0; i < m; ++i) sum += norms ? attn::abs(x[i * m + j]) : x[i * m + j];
      if (j == 0 || sum > d.column_sum) d.column_sum = sum, d.column = j;
    }
    if (norms) {
      for (Index i = 0; i < m; ++i) {
        T sum = 0;
        for (Index j = 0; j < m; ++j) sum += attn::abs(x[i * m + j]);
        if (i == 0 || sum > d.row_sum) d.row_sum = sum, d.row = i;
      }
    }
    d.usable = d.column_sum >= std::numeric_limits<T>::min() && d.row_sum >= std::numeric_limits<T>::min();
    divisors[matrix] = d;
  }
};

/// The greatest column sum of all matrices, for all of them.
template <class T>
struct ShareDivisors {
  StartDivisors<T>* divisors;
  Index count;
  ATTN_FUNCTION void operator()(Index) const {
    Index greatest = 0;
    for (Index i = 1; i < count; ++i) {
      if (divisors[i].column_sum > divisors[greatest].column_sum) greatest = i;
    }
    StartDivisors<T> const shared = divisors[greatest];
    for (Index i = 0; i < count; ++i) divisors[i] = shared;
  }
};

/// z = k^T / column_sum / row_sum, in two steps that neither overflow nor underflow on the way.
template <class T>
struct MakeStart {
  T const* k;
  StartDivisors<T> const* divisors;
  T* z;
  Index m;
  ATTN_FUNCTION void operator()(Index index) const {
    Index const matrix = index / (m * m), i = index / m % m, j = index % m;
    StartDivisors<T> const& d = divisors[matrix];
    z[index] = d.usable ? k[matrix * m * m + j * m + i] / d.column_sum / d.row_sum : T(0);
  }
};

/// sums[matrix] = <d_z, z>.
template <class T>
struct InnerProducts {
  T const* d_z;
  T const* z;
  T* sums;
  Index size;
  ATTN_FUNCTION void operator()(Index matrix) const {
    T sum = 0;
    for (Index i = matrix * size; i < (matrix + 1) * size; ++i) sum += d_z[i] * z[i];
    sums[matrix] = sum;
  }
};

/// forward: z = k^T / (c r); hence d_k += d_z^T / (c r), d_c = -<d_z, z> / c, d_r = -<d_z, z> / r; and c and r are sums
/// (of magnitudes) of one column and one row.
template <class T>
struct StartGradient {
  T const* k;
  T const* d_z;
  T const* sums;
  StartDivisors<T> const* divisors;
  T* d_k;
  Index m, count;
  bool norms;

  ATTN_FUNCTION void operator()(Index matrix) const {
    StartDivisors<T> const& d = divisors[matrix];
    if (!d.usable) return;
    Index const first = matrix * m * m;
    for (Index i = 0; i < m; ++i) {
      for (Index j = 0; j < m; ++j) d_k[first + i * m + j] += d_z[first + j * m + i] / d.column_sum / d.row_sum;
    }
    if (norms) {
      for (Index i = 0; i < m; ++i) {
        Index const in_column = first + i * m + d.column, in_row = first + d.row * m + i;
        d_k[in_column] -= sign(k[in_column]) * sums[matrix] / d.column_sum;
        d_k[in_row] -= sign(k[in_row]) * sums[matrix] / d.row_sum;
      }
    } else if (d.matrix == matrix) {
      T total = 0;
      for (Index i = 0; i < count; ++i) total += sums[i];
      for (Index i = 0; i < m; ++i) d_k[first + i * m + d.column] -= total / d.column_sum;
    }
  }
  static ATTN_FUNCTION T sign(T x) { return x > T(0) ? T(1) : (x < T(0) ? T(-1) : T(0)); }
};

}  // namespace detail

/// z = pinv(k) for matrices k (B, H, m, m), contiguous.
///
///   z <- z (13 I - x (15 I - x (7 I - x))) / 4     with x = k z
///
/// On an eigenvalue x of k z it acts as 1 - x' = (1 - x)^3 (1 - x / 4): small ones grow 3.25 times an iteration, so
/// directions that start below about 1e-3 stay damped after six. A matrix of zeros gives zeros. 8 m^3 flops an
/// iteration and matrix, 16 m^3 more in the backward pass.
class PseudoInverse {
 public:
  struct Config {
    int iterations = 6;
    PseudoInverseStart start = PseudoInverseStart::norms;
  };

  /// Keeps four matrices an iteration.
  template <class Ctx>
  struct Tape {
    struct Iteration {
      TensorOf<Ctx, 4> z, x, b, c;  // b = 15 I - 7 x + x^2, c = 13 I - x b
    };
    ConstTensorOf<Ctx, 4> k;
    detail::StartDivisors<typename Ctx::Scalar>* divisors = nullptr;
    std::vector<Iteration> iterations;
  };

  explicit PseudoInverse(Config const& config) : config_(config) {
    ATTN_CHECK(config.iterations >= 1, "PseudoInverse: give at least 1 iteration, got ", config.iterations);
  }

  template <class Ctx>
  Forward<TensorOf<Ctx, 4>, Tape<Ctx>> forward(Ctx& ctx, ConstTensorOf<Ctx, 4> k) const {
    using T = typename Ctx::Scalar;
    ATTN_CHECK(k.extent(2) == k.extent(3) && k.is_contiguous(),
               "PseudoInverse::forward: give contiguous square matrices, got ", k.extent(2), " x ", k.extent(3));
    Index const m = k.extent(3), count = k.extent(0) * k.extent(1);
    bool const norms = config_.start == PseudoInverseStart::norms;
    auto const result = ctx.tensor(k.extents());
    typename Ctx::Scratch const scratch(ctx);
    Tape<Ctx> tape{k, ctx.template tensor<detail::StartDivisors<T>>(count).data(), {}};
    if (k.size() == 0) return {result, tape};
    launch(ctx, "attn::PseudoInverse::divisors", count, detail::FindDivisors<T>{k.data(), tape.divisors, m, norms});
    if (!norms) launch(ctx, "attn::PseudoInverse::share", 1, detail::ShareDivisors<T>{tape.divisors, count});

    auto const next = [&](int i) { return i == config_.iterations ? result : ctx.tensor(k.extents()); };
    auto z = next(0);
    launch(ctx, "attn::PseudoInverse::start", k.size(), detail::MakeStart<T>{k.data(), tape.divisors, z.data(), m});
    typename Tape<Ctx>::Iteration at;
    for (int i = 0; i < config_.iterations; ++i) {
      if (i == 0 || ctx.keeps_tape())
        at = {z, ctx.tensor(k.extents()), ctx.tensor(k.extents()), ctx.tensor(k.extents())};
      at.z = z;
      detail::multiply(ctx.exec, T(1), k, z, T(0), at.x);
      detail::unit_plus(ctx.exec, T(15), T(-7), at.x.data(), at.b);
      detail::multiply(ctx.exec, T(1), at.x, at.x, T(1), at.b);
      detail::unit_plus(ctx.exec, T(13), T(0), static_cast<T const*>(nullptr), at.c);
      detail::multiply(ctx.exec, T(-1), at.x, at.b, T(1), at.c);
      z = next(i + 1);
      detail::multiply(ctx.exec, T(0.25), at.z, at.c, T(0), z);
      if (ctx.keeps_tape()) tape.iterations.push_back(at);
    }
    return {result, tape};
  }

  /// The gradient of k from that of z.
  template <class Ctx>
  TensorOf<Ctx, 4> backward(Ctx& ctx, Tape<Ctx>&& tape, ConstTensorOf<Ctx, 4> d_result) const {
    using T = typename Ctx::Scalar;
    auto const& k = tape.k;
    ATTN_CHECK(Index(tape.iterations.size()) == config_.iterations || k.size() == 0,
               "PseudoInverse::backward: run forward with ctx.training or ctx.keep_tape switched on");
    ATTN_CHECK(d_result.extents() == k.extents() && d_result.is_contiguous(),
               "PseudoInverse::backward: give d_z the shape of z");
    auto const d_k = ctx.tensor(k.extents());
    if (k.size() == 0) return d_k;
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const fresh = [&] { return ctx.tensor(k.extents()); };
    auto const transposed = [](ConstTensorOf<Ctx, 4> const& x) { return x.transpose(2, 3); };
    TensorOf<Ctx, 4> const d_x = fresh(), d_b = fresh(), d_c = fresh();
    TensorOf<Ctx, 4> turns[2] = {fresh(), fresh()};
    detail::unit_plus(ctx.exec, T(0), T(0), static_cast<T const*>(nullptr), d_k);

    ConstTensorOf<Ctx, 4> d_next = d_result;
    for (int i = config_.iterations - 1; i >= 0; --i) {
      auto const& [z, x, b, c] = tape.iterations[std::size_t(i)];
      auto const& d_z = turns[i % 2];
      // forward: next = z c / 4
      detail::multiply(ctx.exec, T(0.25), transposed(z), d_next, T(0), d_c);
      detail::multiply(ctx.exec, T(0.25), d_next, transposed(c), T(0), d_z);
      // forward: c = 13 I - x b
      detail::multiply(ctx.exec, T(-1), d_c, transposed(b), T(0), d_x);
      detail::multiply(ctx.exec, T(-1), transposed(x), d_c, T(0), d_b);
      // forward: b = 15 I - 7 x + x x
      detail::unit_plus(ctx.exec, T(0), T(-7), d_b.data(), d_x, true);
      detail::multiply(ctx.exec, T(1), d_b, transposed(x), T(1), d_x);
      detail::multiply(ctx.exec, T(1), transposed(x), d_b, T(1), d_x);
      // forward: x = k z
      detail::multiply(ctx.exec, T(1), d_x, transposed(z), T(1), d_k);
      detail::multiply(ctx.exec, T(1), transposed(k), d_x, T(1), d_z);
      d_next = d_z;
    }
    Index const m = k.extent(3), count = k.extent(0) * k.extent(1);
    auto const sums = ctx.tensor(count);
    launch(ctx, "attn::PseudoInverse::inner", count,
           detail::InnerProducts<T>{d_next.data(), tape.iterations[0].z.data(), sums.data(), m * m});
    launch(ctx, "attn::PseudoInverse::start_gradient", count,
           detail::StartGradient<T>{k.data(), d_next.data(), sums.data(), tape.divisors, d_k.data(), m, count,
                                    config_.start == PseudoInverseStart::norms});
    return d_k;
  }

 private:
  template <class Ctx, class Functor>
  static void launch(Ctx& ctx, char const* name, Index n, Functor const& functor) {
    attn::launch(name, Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, 0, n), functor);
  }

  Config config_;
};

}  // namespace attn::nn
