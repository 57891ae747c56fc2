/// Module: what a layer, a block and a whole model have in common.
#pragma once

#include "attn/nn/aggregate.hpp"
#include "attn/nn/context.hpp"

#include <concepts>
#include <utility>

namespace attn::nn {

/// What `forward` returns: `auto [y, tape] = module.forward(ctx, x);`
template <class Value, class Tape>
struct Forward {
  Value value;
  Tape tape;
};

/// A module maps a value to a value, and can pull gradients back. A value is a tensor or an aggregate of tensors
/// (nn/aggregate.hpp).
///
///  1. It is constructed from a `Builder` (a `Context` converts to one) and a `Config`, and registers its parameters
///     and buffers there. It holds handles and sizes, no memory; it is cheap to copy, and `forward` and `backward` are
///     const.
///  2. `module.forward(ctx, x)` returns `Forward{y, tape}`. Both lie in `ctx.workspace`, and refer to x.
///  3. `module.backward(ctx, std::move(tape), d_y)` adds the gradients of the parameters to `ctx.parameters` and
///  returns
///     that of x: the gradients of those tensors of x that are of the context's scalar, in their order, as an aggregate
///     of its own; nothing (void) where x has none, or where nobody wants them. It leaves d_y as it is. The tape is
///     used once; it is empty, and `backward` throws, if `forward` ran while `ctx.keeps_tape()` was false.
///  4. Memory is taken in the order of a stack: first what is returned, then what is dropped on return.
///  5. Everything runs on `ctx.exec` without a fence, with the same bits for any number of threads.
///
/// `attn::testing::check_module` tells whether a type keeps these promises. The smallest module:
///
///     struct Identity {
///       struct Tape {};
///       template <class Ctx, class X> Forward<X, Tape> forward(Ctx&, X const& x) const { return {x, {}}; }
///       template <class Ctx, class D> D backward(Ctx&, Tape&&, D const& d_y) const { return d_y; }
///     };
///
/// Refinements save passes over memory; composite modules use them where they are offered:
///  * `forward(ctx, x, Onto)` returns `onto.source + scale f(x)` (linear layers at the end of a residual branch);
///  * `backward_add(ctx, tape, d_y, d_x)` adds the gradient of x to d_x (norms at its start);
///  * `backward_in_place(ctx, tape, d)` turns the gradient of y into that of x (residual connections, stacks);
///  * `backward_input(ctx, tape, d_y)` returns the gradient of x where `backward` leaves it out (whole models, whose
///    training does not need it).
template <class M, class Ctx, class X>
concept Module = Aggregate<X> && requires(M const& m, Ctx& ctx, X const& x) {
  m.forward(ctx, x).value;
  m.forward(ctx, x).tape;
  m.backward(ctx, std::move(m.forward(ctx, x).tape), m.forward(ctx, x).value);
};

/// What `M` keeps between forward and backward, and what it returns, for an input of type `X`.
template <class M, class Ctx, class X>
using TapeOf = decltype(std::declval<M const&>().forward(std::declval<Ctx&>(), std::declval<X const&>()).tape);
/// What `forward` of M returns as its value for an X.
template <class M, class Ctx, class X>
using OutputOf = decltype(std::declval<M const&>().forward(std::declval<Ctx&>(), std::declval<X const&>()).value);

/// A sentence for what is not a module.
template <class M, class Ctx, class X>
constexpr void check_module_concept() {
  static_assert(Module<M, Ctx, X>,
                "module: write forward(ctx, x) that returns Forward{y, tape}, and backward(ctx, tape&&, d_y) that "
                "returns the gradient of x: see attn/nn/module.hpp");
}

/// x (..., C) with another last extent.
template <std::size_t Rank>
Kokkos::Array<Index, Rank> with_width(Kokkos::Array<Index, Rank> extents, Index width) {
  extents[Rank - 1] = width;
  return extents;
}

namespace detail {

/// Tensors of the scalar and rank of `X`, which may be of const elements.
template <class Ctx, class X>
using Like = Tensor<typename Ctx::Scalar, X::rank, typename Ctx::MemorySpace>;
template <class Ctx, class X>
using ConstLike = Tensor<typename Ctx::Scalar const, X::rank, typename Ctx::MemorySpace>;

/// Names the caller's mistake when a tape is used that was never kept. The parts of such a tape have no data and no
/// extents; those of an empty batch may lack data.
template <class X>
void check_tape(char const* function, X const& x) {
  bool kept = x.data() != nullptr;
  for (int r = 0; r < X::rank; ++r) kept = kept || x.extent(r) != 0;
  ATTN_CHECK(kept, function, ": run forward with ctx.training or ctx.keep_tape switched on, and use each tape once");
}

}  // namespace detail
}  // namespace attn::nn
