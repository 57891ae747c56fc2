/// Wave: w1 sin x + w2 cos x with two trained numbers, the function between the layers of a PINNsFormer.
#pragma once

#include "attn/nn/detail/host_planes.hpp"
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

  template <class Ctx, class X, class Y>
  void forward_on_host(Ctx& ctx, X const& x, Y const& y) const {
    using T = typename Ctx::Scalar;
    using R = typename Ctx::Real;
    using P = typename HostLanes<R>::Value;
    detail::PlaneTable<T> const from(x.data()), to(y.data());
    P const w1(*weight(ctx, w1_)), w2(*weight(ctx, w2_));
    bool const apart = detail::directions_are_apart(x);
    Index const n = x.size();
    for_blocks(ctx.exec, "attn::Wave", (n + detail::wave_block - 1) / detail::wave_block, [=](Index block) {
      Index const begin = block * detail::wave_block;
      for_lanes<R>(begin, std::min(n, begin + detail::wave_block), [&](auto lanes, Index i) {
        if (apart) {
          P sine, cosine;
          attn::sin_cos(lanes.load(from.at[0] + i), sine, cosine);
          P const f = w1 * sine + w2 * cosine, slope = w1 * cosine - w2 * sine;  // f'' = -f
          lanes.store(to.at[0] + i, f);
          for (auto const [first, second] : detail::directions_of<T>) {
            if (!from.has(first)) continue;
            P const a = lanes.load(from.at[first] + i);
            lanes.store(to.at[first] + i, slope * a);
            if (!from.has(second)) continue;
            lanes.store(to.at[second] + i, slope * lanes.load(from.at[second] + i) - f * a * a * P(R(0.5)));
          }
        } else {
          using V = detail::PackedScalar<T>;
          V sine, cosine;
          attn::sin_cos(detail::load_planes<V>(lanes, from, i), sine, cosine);
          detail::store_planes(lanes, to, i, sine * w1 + cosine * w2);
        }
      });
    });
  }

  template <class Ctx, class X, class D>
  void backward_on_host(Ctx& ctx, X const& x, X const& d_y, X const& base, D const& d_x) const {
    using T = typename Ctx::Scalar;
    using R = typename Ctx::Real;
    using P = typename HostLanes<R>::Value;
    Index const n = x.size(), blocks = (n + detail::wave_block - 1) / detail::wave_block;
    R* const sums = ctx.template tensor<R>(blocks, 2).data();
    bool const apart = detail::directions_are_apart(x), with_base = !(base.data() == nullptr);
    // Of adjoints, plane by plane: entry c is the gradient of coefficient c.
    detail::PlaneTable<T> const at(x.data()), from(natural(d_y).data()), to(natural(d_x).data()),
        onto(with_base ? natural(base).data() : natural(d_y).data());
    detail::PlaneTable<T> const from_jets(d_y.data()), to_jets(d_x.data()), onto_jets(base.data());
    P const w1(*weight(ctx, w1_)), w2(*weight(ctx, w2_));
    for_blocks(ctx.exec, "attn::Wave::backward", blocks, [=](Index block) {
      Index const begin = block * detail::wave_block;
      P sum1(R(0)), sum2(R(0));
      for_lanes<R>(begin, std::min(n, begin + detail::wave_block), [&](auto lanes, Index i) {
        if (apart) {
          // With g the gradient of y, product = sum a g_a + b g_b and square = sum a^2 g_b / 2, and f'' = -f:
          // d_a = f' g_a - f a g_b, d_b = f' g_b, d_x = f' (g - square) - f product
          P sine, cosine;
          attn::sin_cos(lanes.load(at.at[0] + i), sine, cosine);
          P const f = w1 * sine + w2 * cosine, slope = w1 * cosine - w2 * sine;
          auto const put = [&](int c, P d) {
            if (with_base) d += lanes.load(onto.at[c] + i);
            lanes.store(to.at[c] + i, d);
          };
          P g = lanes.load(from.at[0] + i), product(R(0));
          for (auto const [first, second] : detail::directions_of<T>) {
            if (!at.has(first)) continue;
            P const a = lanes.load(at.at[first] + i), g_a = lanes.load(from.at[first] + i);
            product += a * g_a;
            P d_a = slope * g_a;
            if (at.has(second)) {
              P const g_b = lanes.load(from.at[second] + i), bent = a * g_b;
              product += lanes.load(at.at[second] + i) * g_b;
              g -= a * bent * P(R(0.5));
              d_a -= f * bent;
              put(second, slope * g_b);
            }
            put(first, d_a);
          }
          put(0, slope * g - f * product);
          sum1 += sine * g + cosine * product;
          sum2 += cosine * g - sine * product;
        } else {
          using V = detail::PackedScalar<T>;
          V sine, cosine;
          attn::sin_cos(detail::load_planes<V>(lanes, at, i), sine, cosine);
          V const d = detail::load_planes<V>(lanes, from_jets, i);
          V d_x_i = (cosine * w1 - sine * w2) * d;
          if (with_base) d_x_i += detail::load_planes<V>(lanes, onto_jets, i);
          detail::store_planes(lanes, to_jets, i, d_x_i);
          sum1 += detail::top_coefficient(sine * d);
          sum2 += detail::top_coefficient(cosine * d);
        }
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
