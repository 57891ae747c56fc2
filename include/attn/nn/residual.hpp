/// Residual: y = x + branch(norm(x)), with stochastic depth on the branch.
#pragma once

#include "attn/nn/detail/heads.hpp"
#include "attn/nn/linear.hpp"

namespace attn::nn {

namespace detail {

template <class T>
struct AddBranch {
  T const* x;
  T const* branch;
  T* y;
  RealOf<T> const* factors;
  Index size_of_sample;
  template <class Lanes>
  ATTN_FUNCTION void operator()(Lanes lanes, Index sample, Index i) const {
    using Value = typename Lanes::Value;
    Index const at = sample * size_of_sample + i;
    Value const factor = Value(factors == nullptr ? RealOf<T>(1) : factors[sample]);
    auto sum = factor * lanes.load(branch + at);
    if (x != nullptr) sum += lanes.load(x + at);
    lanes.store(y + at, sum);
  }
};

}  // namespace detail

/// The pre-norm residual connection of transformers. `Norm` and `Branch` are modules; a branch that offers
/// `forward(ctx, x, Onto)` and a norm that offers `backward_add` save a pass each.
template <class Norm, class Branch>
class Residual {
 public:
  template <class Ctx, class N, class B>
  struct Tape {
    N norm;
    B branch;
    Tensor<typename Ctx::Real const, 1, typename Ctx::MemorySpace> factors;
  };

  Residual(Norm const& norm, Branch const& branch, StochasticDepth const& depth = {})
      : norm_(norm), branch_(branch), depth_(depth) {}

  /// x (B, N, C), or a feature map (B, H, W, C), -> y of the same shape.
  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    using T = typename Ctx::Scalar;
    using Input = detail::ConstLike<Ctx, X>;
    check_module_concept<Norm, Ctx, Input>();
    Input const input = x;
    using Normal = OutputOf<Norm, Ctx, Input>;
    using NormTape = TapeOf<Norm, Ctx, Input>;
    using BranchTape = TapeOf<Branch, Ctx, Normal>;
    using Result = Forward<detail::Like<Ctx, X>, Tape<Ctx, NormTape, BranchTape>>;

    if constexpr (ends_onto<Ctx, Normal>) {
      // y lies above norm(x), which in evaluation stays until the whole block is dropped: cheaper than a pass.
      auto const factors = depth_.factors(ctx, input.extent(0));
      auto [normal, norm_tape] = norm_.forward(ctx, input);
      auto [y, branch_tape] = branch_.forward(ctx, normal, Onto<Ctx>{detail::as_tokens(input), factors});
      return Result{y, {norm_tape, branch_tape, factors}};
    } else {
      auto const y = ctx.tensor(input.extents());
      typename Ctx::Scratch const scratch(ctx);
      auto const factors = depth_.factors(ctx, input.extent(0));
      auto [normal, norm_tape] = norm_.forward(ctx, input);
      auto [branched, branch_tape] = branch_.forward(ctx, normal);
      check_shape(input, branched);
      elementwise<T>(
          ctx.exec, "attn::Residual", input.extent(0), size_of_sample(input),
          detail::AddBranch<T>{input.data(), branched.data(), y.data(), factors.data(), size_of_sample(input)});
      return Result{y, {norm_tape, branch_tape, factors}};
    }
  }

  template <class Ctx, class N, class B, class D>
  auto backward(Ctx& ctx, Tape<Ctx, N, B>&& tape, D const& d_y) const {
    detail::Like<Ctx, D> const d = ctx.tensor(d_y.extents());
    Kokkos::deep_copy(ctx.exec, flat(d).view(), flat(d_y).view());
    return backward_in_place(ctx, std::move(tape), d);
  }

  /// forward: y = x + factors branch(norm(x)); hence d += norm'(branch'(factors d)).
  template <class Ctx, class N, class B, class D>
  D backward_in_place(Ctx& ctx, Tape<Ctx, N, B>&& tape, D const& d) const {
    using T = typename Ctx::Scalar;
    using Const = detail::ConstLike<Ctx, D>;
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    Const d_branch = d;
    Index const size = size_of_sample(d);
    if constexpr (!ends_onto<Ctx, OutputOf<Norm, Ctx, Const>>) {
      if (tape.factors.data() != nullptr) {
        auto const scaled = ctx.tensor(d.extents());
        elementwise<T>(ctx.exec, "attn::Residual::backward", d.extent(0), size,
                       detail::AddBranch<T>{nullptr, d.data(), scaled.data(), tape.factors.data(), size});
        d_branch = scaled;
      }
    }
    auto const d_normal = branch_.backward(ctx, std::move(tape.branch), d_branch);
    if constexpr (requires { norm_.backward_add(ctx, std::move(tape.norm), d_normal, d); }) {
      norm_.backward_add(ctx, std::move(tape.norm), d_normal, d);
    } else {
      auto const d_x = norm_.backward(ctx, std::move(tape.norm), d_normal);
      elementwise<T>(ctx.exec, "attn::Residual::backward", d.extent(0), size,
                     detail::AddBranch<T>{d.data(), d_x.data(), d.data(), nullptr, size});
    }
    return d;
  }

  Norm const& norm() const { return norm_; }
  Branch const& branch() const { return branch_; }
  Branch& branch() { return branch_; }

 private:
  template <class Ctx, class Normal>
  static constexpr bool ends_onto = requires(Branch const& branch, Ctx& ctx, Normal const& normal,
                                             Onto<Ctx> const& onto) {
    branch.forward(ctx, normal, onto);
  };

  template <class X>
  static auto flat(X const& x) {
    return x.template reshape<1>({x.size()});
  }
  template <class X>
  static Index size_of_sample(X const& x) {
    return x.extent(0) == 0 ? 0 : x.size() / x.extent(0);
  }

  template <class X, class Y>
  static void check_shape(X const& x, Y const& y) {
    ATTN_CHECK(x.extents() == y.extents(), "Residual: give a branch whose output has the shape of its input");
  }

  Norm norm_;
  Branch branch_;
  StochasticDepth depth_;
};

}  // namespace attn::nn
