/// Mixed precision: what modules do where tensors hold numbers of two bytes and parameters are floats.
///
/// `Context<Exec, BFloat16> narrow(ctx)` computes over the parameters of a `Context<Exec, float> ctx`: what passes
/// between modules is stored in bf16, products multiply bf16 numbers and sum in fp32, everything else (norms,
/// activations, losses, gradients of parameters, optimizers) computes in fp32.
#pragma once

#include "attn/linalg/convert.hpp"
#include "attn/nn/context.hpp"

#include <type_traits>

namespace attn::nn {

/// What the factors of a matrix product hold where tensors are of `T`: narrow numbers as they are, the reals of jets.
template <class T>
using FactorOf = std::conditional_t<is_narrow<T>, T, RealOf<T>>;

/// x, contiguous, in the scalar `U`: itself where it has it already, else a copy in the workspace.
template <class U, class Ctx, class X>
Tensor<U const, X::rank, typename Ctx::MemorySpace> converted(Ctx& ctx, X const& x) {
  if constexpr (std::same_as<U, typename X::Scalar>) {
    return x;
  } else {
    auto const copy = ctx.template tensor<U>(x.extents());
    linalg::convert(ctx.exec, x.rows(), copy.rows());
    return copy;
  }
}

/// A context that computes in fp32 where `Ctx` stores numbers of two bytes, over the same parameters and memory; else
/// `Ctx` itself.
template <class Ctx>
using WideContext =
    std::conditional_t<is_narrow<typename Ctx::Scalar>, Context<typename Ctx::Space, typename Ctx::Real>, Ctx>;

/// `ctx` itself where its numbers are of `T`, else a context of `T` over it: `ContextIn<Ctx, T> typed(ctx);`
template <class Ctx, class T>
using ContextIn = std::conditional_t<std::same_as<T, typename Ctx::Scalar>, Ctx&, Context<typename Ctx::Space, T>>;

namespace detail {

template <class S, class T, class Memory>
struct CopyTokens {
  Tensor<S const, 3, Memory> from;
  Tensor<T, 3, Memory> to;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index row, Index column) const {
    Index const b = row / from.extent(1), n = row % from.extent(1);
    lanes.store(to.data() + b * to.stride(0) + n * to.stride(1) + column,
                lanes.load(from.data() + b * from.stride(0) + n * from.stride(1) + column));
  }
};

/// to = from (B, N, C), of any strides with a unit last one, in another scalar perhaps.
template <class Ctx, class S, class T, class Memory>
void copy_tokens(Ctx& ctx, Tensor<S, 3, Memory> const& from, Tensor<T, 3, Memory> const& to) {
  using From = std::remove_const_t<S>;
  elementwise<AccumulatorOf<T>>(ctx.exec, "attn::copy_tokens", to.extent(0) * to.extent(1), to.extent(2),
                                detail::CopyTokens<From, T, Memory>{from, to});
}

/// x (B, N, C), of any strides with a unit last one, in fp32 and contiguous.
template <class Ctx, class X>
auto widened_tokens(Ctx& ctx, X const& x) {
  auto const copy = ctx.template tensor<typename Ctx::Real>(x.extents());
  copy_tokens(ctx, x, copy);
  return copy;
}

}  // namespace detail

/// A parameter as a product takes it: a copy, for narrow numbers.
template <class Ctx, int Rank>
auto factor(Ctx& ctx, Parameter<Rank> const& parameter) {
  return converted<FactorOf<typename Ctx::Scalar>>(ctx, ctx.parameters.value(parameter));
}

}  // namespace attn::nn
