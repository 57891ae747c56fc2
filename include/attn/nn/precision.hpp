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

/// A parameter as a product takes it: a copy, for narrow numbers.
template <class Ctx, int Rank>
auto factor(Ctx& ctx, Parameter<Rank> const& parameter) {
  return converted<FactorOf<typename Ctx::Scalar>>(ctx, ctx.parameters.value(parameter));
}

}  // namespace attn::nn
