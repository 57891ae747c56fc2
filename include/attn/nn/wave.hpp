/// Wave: w1 sin x + w2 cos x with two trained numbers, the function between the layers of a PINNsFormer.
#pragma once

#include "attn/nn/detail/kept_powers.hpp"
#include "attn/nn/module.hpp"
#include "attn/nn/parameters.hpp"

#include <algorithm>

namespace attn::nn {

namespace detail {

inline constexpr Index wave_block = 4096;  // elements of one thread's share

// Kernels of devices.

template <class T>
struct ApplyWave {
  RealOf<T> const* w1;
  RealOf<T> const* w2;
  Pointer<T const> x;
  Pointer<T> y;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index, Index i) const {
    using Value = typename Lanes::Value;
    Value sine, cosine;
    attn::sin_cos(Value(lanes.load(x + i)), sine, cosine);
    lanes.store(y + i, sine * Value(*w1) + cosine * Value(*w2));
  }
};

/// One element of the backward pass, and its part of the gradients of w1 and w2.
template <class T>
struct PullWave {
  RealOf<T> const* w1;
  RealOf<T> const* w2;
  Pointer<T const> x, d_y, base;
  Pointer<T> d_x;
  ATTN_FUNCTION void operator()(Index i, RealOf<T>& d_w1, RealOf<T>& d_w2) const {
    T sine, cosine;
    attn::sin_cos(T(x[i]), sine, cosine);
    T const d = d_y[i];
    T d_x_i = (cosine * T(*w1) - sine * T(*w2)) * d;
    if (!(base == nullptr)) d_x_i += T(base[i]);
    d_x[i] = d_x_i;
    d_w1 += real_gradient(sine * d);
    d_w2 += real_gradient(cosine * d);
  }
};

template <class R>
struct AddTwo {
  R const* from;
  R* to1;
  R* to2;
  ATTN_FUNCTION void operator()(int) const {
    *to1 += from[0];
    *to2 += from[1];
  }
};

}  // namespace detail

/// Parameters w1 (1) and w2 (1), both 1 at first (Zhao, Ding and Prakash 2024, "Wavelet").
class Wave {
 public:
  template <class X>
  struct Tape {
    X x;
  };

  explicit Wave(Builder const& builder)
      : w1_(builder.add<1>("w1", {1}, ones())), w2_(builder.add<1>("w2", {1}, ones())) {}

  /// x of any shape, contiguous -> y of the same shape.
  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    detail::ConstLike<Ctx, X> const input = x;
    ATTN_CHECK(input.is_contiguous(), "Wave::forward: copy x into a contiguous tensor first");
    auto const y = ctx.tensor(input.extents());
    if constexpr (HostExecutionSpace<typename Ctx::Space>) {
      forward_on_host(ctx, input, y);
    } else {
      elementwise<typename Ctx::Scalar>(
          ctx.exec, "attn::Wave", 1, input.size(),
          detail::ApplyWave<typename Ctx::Scalar>{weight(ctx, w1_), weight(ctx, w2_), input.data(), y.data()});
    }
    return Forward<detail::Like<Ctx, X>, Tape<detail::ConstLike<Ctx, X>>>{
        y, {ctx.keeps_tape() ? input : detail::ConstLike<Ctx, X>()}};
  }

  template <class Ctx, class X, class D>
  auto backward(Ctx& ctx, Tape<X>&& tape, D const& d_y) const {
    return backward(ctx, std::move(tape), d_y, detail::ConstLike<Ctx, X>());
  }

  /// forward: y = w1 sin x + w2 cos x; hence d_x = base + (w1 cos x - w2 sin x) d_y, d_w1 += sin x . d_y and
  /// d_w2 += cos x . d_y. `base` is the gradient that x gets from elsewhere; without data, zero.
  template <class Ctx, class X, class D, class Base>
  auto backward(Ctx& ctx, Tape<X>&& tape, D const& d_y, Base const& base) const {
    detail::check_tape("Wave::backward", tape.x);
    ATTN_CHECK(d_y.extents() == tape.x.extents() && d_y.is_contiguous(), "Wave::backward: give d_y the shape of y");
    using T = typename Ctx::Scalar;
    auto const d_x = ctx.tensor(tape.x.extents());
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    if constexpr (HostExecutionSpace<typename Ctx::Space>) {
      backward_on_host(ctx, tape.x, detail::ConstLike<Ctx, X>(d_y), detail::ConstLike<Ctx, X>(base), d_x);
    } else {
      backward_on_device(
          ctx,
          detail::PullWave<T>{weight(ctx, w1_), weight(ctx, w2_), tape.x.data(), detail::ConstLike<Ctx, X>(d_y).data(),
                              detail::ConstLike<Ctx, X>(base).data(), d_x.data()},
          tape.x.size());
    }
    return d_x;
  }

 private:
  template <class Ctx>
  typename Ctx::Real* weight(Ctx& ctx, Parameter<1> const& p) const {
    return ctx.parameters.value(p).data();
  }

  /// g^(k)(x_0) / k! of a function with g'' = -g.
  template <class P, std::size_t n>
  static void oscillate(P value, P slope, int degree, P (&taylor)[n]) {
    using R = RealOf<P>;
    taylor[0] = value;
    if constexpr (n > 1) {
      taylor[1] = slope;
      for (int k = 2; k <= degree; ++k) taylor[k] = -taylor[k - 2] * P(R(1) / R(k * (k - 1)));
    }
  }

  template <class Ctx, class X, class Y>
  void forward_on_host(Ctx& ctx, X const& x, Y const& y) const {
    using T = typename Ctx::Scalar;
    using R = typename Ctx::Real;
    using P = typename HostLanes<R>::Value;
    using Powers = detail::KeptPowers<T>;
    detail::PlaneTable<T> const from(x.data()), to(y.data());
    Powers const of_x(detail::kept_planes(x));
    P const w1(*weight(ctx, w1_)), w2(*weight(ctx, w2_));
    Index const n = x.size();
    for_blocks(ctx.exec, "attn::Wave", (n + detail::wave_block - 1) / detail::wave_block, [=](Index block) {
      P powers[Powers::max_degree + 1][Powers::size], taylor[Powers::max_degree + 1];
      int const degree = of_x.degree();
      auto const kept = of_x.kept();
      Index const begin = block * detail::wave_block;
      for_lanes<R>(begin, std::min(n, begin + detail::wave_block), [&](auto lanes, Index i) {
        P sine, cosine;
        attn::sin_cos(lanes.load(from.at[0] + i), sine, cosine);
        oscillate(w1 * sine + w2 * cosine, w1 * cosine - w2 * sine, degree, taylor);
        lanes.store(to.at[0] + i, taylor[0]);
        if constexpr (Powers::size > 1) {
          for (int const c : kept) powers[1][c] = lanes.load(from.at[c] + i);
          of_x.raise(powers);
          for (int const c : kept) {
            P sum = taylor[1] * powers[1][c];
            for (int k = 2; k <= degree; ++k) sum += taylor[k] * powers[k][c];
            lanes.store(to.at[c] + i, sum);
          }
        }
      });
    });
  }

  template <class Ctx, class X, class D>
  void backward_on_host(Ctx& ctx, X const& x, X const& d_y, X const& base, D const& d_x) const {
    using T = typename Ctx::Scalar;
    using R = typename Ctx::Real;
    using P = typename HostLanes<R>::Value;
    using Powers = detail::KeptPowers<T>;
    Index const n = x.size(), blocks = (n + detail::wave_block - 1) / detail::wave_block;
    R* const sums = ctx.template tensor<R>(blocks, 2).data();
    bool const with_base = !(base.data() == nullptr);
    // Of adjoints, plane by plane: entry c is the gradient of coefficient c.
    detail::PlaneTable<T> const at(x.data()), from(natural(d_y).data()), to(natural(d_x).data()),
        onto(with_base ? natural(base).data() : natural(d_y).data());
    Powers const of_x(detail::kept_planes(x));
    P const w1(*weight(ctx, w1_)), w2(*weight(ctx, w2_));
    for_blocks(ctx.exec, "attn::Wave::backward", blocks, [=](Index block) {
      P powers[Powers::max_degree + 1][Powers::size];
      P taylor[Powers::max_degree + 1], of_sine[Powers::max_degree + 1], of_cosine[Powers::max_degree + 1];
      P slope[Powers::size], d_out[Powers::size], d_in[Powers::size];
      int const degree = of_x.degree();
      auto const kept = of_x.kept();
      Index const begin = block * detail::wave_block;
      P sum1(R(0)), sum2(R(0));
      for_lanes<R>(begin, std::min(n, begin + detail::wave_block), [&](auto lanes, Index i) {
        P sine, cosine;
        attn::sin_cos(lanes.load(at.at[0] + i), sine, cosine);
        oscillate(sine, cosine, degree, of_sine);
        oscillate(cosine, -sine, degree, of_cosine);
        P const d = lanes.load(from.at[0] + i);
        d_in[0] = (w1 * cosine - w2 * sine) * d;
        sum1 += sine * d;
        sum2 += cosine * d;
        if constexpr (Powers::size > 1) {
          for (int k = 0; k <= degree; ++k) taylor[k] = w1 * of_cosine[k] - w2 * of_sine[k];
          for (int const c : kept) {
            powers[1][c] = lanes.load(at.at[c] + i);
            d_out[c] = lanes.load(from.at[c] + i);
            slope[c] = taylor[1] * powers[1][c];
            d_in[c] = taylor[0] * d_out[c];
          }
          of_x.raise(powers);
          for (int k = 1; k <= degree; ++k) {
            P product(R(0));
            for (int const c : kept) product += powers[k][c] * d_out[c];
            d_in[0] += taylor[k] * product;
            sum1 += of_sine[k] * product;
            sum2 += of_cosine[k] * product;
          }
          for (int k = 2; k <= degree; ++k) {
            for (int const c : kept) slope[c] += taylor[k] * powers[k][c];
          }
          of_x.pull(slope, d_out, d_in);
          for (int const c : kept) {
            if (with_base) d_in[c] += lanes.load(onto.at[c] + i);
            lanes.store(to.at[c] + i, d_in[c]);
          }
        }
        if (with_base) d_in[0] += lanes.load(onto.at[0] + i);
        lanes.store(to.at[0] + i, d_in[0]);
      });
      sums[2 * block] = sum(sum1);
      sums[2 * block + 1] = sum(sum2);
    });
    ctx.exec.fence("attn::Wave::backward");
    R d_w1 = 0, d_w2 = 0;
    for (Index b = 0; b < blocks; ++b) {
      d_w1 += sums[2 * b];
      d_w2 += sums[2 * b + 1];
    }
    *ctx.parameters.gradient(w1_).data() += d_w1;
    *ctx.parameters.gradient(w2_).data() += d_w2;
  }

  /// Adjoints by their planes: coefficient c as the gradient of coefficient c.
  template <class D>
  static D natural(D const& d) {
    if constexpr (AnyJet<typename D::Scalar>) {
      return d.adjoint();
    } else {
      return d;
    }
  }

  template <class Ctx, class Kernel>
  void backward_on_device(Ctx& ctx, Kernel const& kernel, Index n) const {
    using R = typename Ctx::Real;
    using Unmanaged = Kokkos::View<R, typename Ctx::MemorySpace, Kokkos::MemoryTraits<Kokkos::Unmanaged>>;
    R* const sums = ctx.template tensor<R>(2).data();
    Kokkos::parallel_reduce("attn::Wave::backward",
                            Kokkos::RangePolicy<typename Ctx::Space, Kokkos::IndexType<Index>>(ctx.exec, 0, n), kernel,
                            Unmanaged(sums), Unmanaged(sums + 1));
    attn::launch("attn::Wave::parameters", Kokkos::RangePolicy<typename Ctx::Space>(ctx.exec, 0, 1),
                 detail::AddTwo<R>{sums, ctx.parameters.gradient(w1_).data(), ctx.parameters.gradient(w2_).data()});
  }

  Parameter<1> w1_;
  Parameter<1> w2_;
};

}  // namespace attn::nn
