/// Sum and Concatenation: modules side by side on one input. With `Sequential`, any graph without loops:
///
///     using namespace attn::nn;
///     Sequential net{Linear(ctx / "in", {.inputs = 2, .outputs = 32}),
///                    Sum{Identity(), Sequential{LayerNorm(ctx / "norm", {.width = 32}), attention}},
///                    Concatenation{Linear(ctx / "a", {.inputs = 32, .outputs = 4}), Identity()}};
#pragma once

#include "attn/core/matrix_functors.hpp"
#include "attn/nn/module.hpp"

#include <tuple>
#include <type_traits>

namespace attn::nn {

/// y = x.
struct Identity {
  struct Tape {};
  template <class Ctx, class X>
  Forward<X, Tape> forward(Ctx&, X const& x) const {
    return {x, {}};
  }
  template <class Ctx, class D>
  D backward(Ctx&, Tape&&, D const& d_y) const {
    return d_y;
  }
};

namespace detail {

/// y = x for the first, y += x for the others; of one shape.
template <class Ctx, class X, class Y>
void put_or_add(Ctx& ctx, char const* name, X const& x, Y const& y, bool is_first) {
  auto const from = real_rows(x.rows());
  auto const to = real_rows(y.rows());
  using T = typename std::remove_cvref_t<decltype(to)>::Scalar;
  if (is_first) {
    elementwise<T>(ctx.exec, name, to.extent(0), to.extent(1),
                   CopyMatrix<T, T>{from.data(), to.data(), from.stride(0), to.stride(0)});
  } else {
    elementwise<T>(ctx.exec, name, to.extent(0), to.extent(1),
                   AddMatrices<T>{to.data(), from.data(), to.data(), to.stride(0)});
  }
}

/// Modules that have their input in common: the gradient of x is the sum of theirs.
template <class... Modules>
class SideBySide {
  static_assert(sizeof...(Modules) > 0, "Sum and Concatenation: give at least one module");

 protected:
  explicit SideBySide(Modules const&... modules) : modules_(modules...) {}

  /// What each of them returns, in the order written.
  template <class Ctx, class X>
  auto forward_all(Ctx& ctx, X const& x) const {
    (check_module_concept<Modules, Ctx, X>(), ...);
    return std::apply(
        [&](auto const&... module) {
          return std::tuple<decltype(module.forward(ctx, x))...>{module.forward(ctx, x)...};
        },
        modules_);  // the braces keep the order
  }

  template <class Ctx, class Module, class Tape, class D>
  using GradientOf = decltype(std::declval<Module const&>().backward(std::declval<Ctx&>(), std::declval<Tape>(),
                                                                     std::declval<D const&>()));
  /// Whether the input is one that has no gradient, such as numbers of words.
  template <class Ctx, class D, class... Tapes>
  static constexpr bool have_no_gradient = (std::is_void_v<GradientOf<Ctx, Modules, Tapes, D>> && ...);

  /// d_x += the gradient from branch `I`, given that of its output.
  template <std::size_t I, class Ctx, class Tape, class D, class DX>
  void add_gradient(Ctx& ctx, Tape&& tape, D const& d_y, DX const& d_x) const {
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    auto const d = std::get<I>(modules_).backward(ctx, std::move(tape), d_y);
    ATTN_CHECK(d.extents() == d_x.extents(), "Sum and Concatenation: give modules whose gradients have the shape of x");
    put_or_add(ctx, "attn::nn::branches", d, d_x, I == 0);
  }

  std::tuple<Modules...> modules_;
};

/// What both keep: the tapes of their branches, and the shape of x.
template <class X, class... Tapes>
struct BranchesTape {
  std::remove_cvref_t<decltype(std::declval<X const&>().extents())> extents;  // not a reference: x may be gone
  std::tuple<Tapes...> branches;
};

}  // namespace detail

/// y = f_1(x) + f_2(x) + ..., all of one shape. In braces the modules register their parameters in the order written.
template <class... Modules>
class Sum : detail::SideBySide<Modules...> {
  using Base = detail::SideBySide<Modules...>;

 public:
  explicit Sum(Modules const&... modules) : Base(modules...) {}

  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    auto all = this->forward_all(ctx, x);
    return std::apply(
        [&](auto&... branch) {
          auto const first = std::get<0>(all).value;
          using Y = detail::Like<Ctx, std::remove_const_t<decltype(first)>>;
          Y const y = ctx.tensor(first.extents());
          bool is_first = true;
          (add(ctx, branch.value, y, is_first), ...);
          using Tape = detail::BranchesTape<X, decltype(branch.tape)...>;
          return Forward<Y, Tape>{y, Tape{x.extents(), {std::move(branch.tape)...}}};
        },
        all);
  }

  /// The gradient of x, where it has one.
  template <class Ctx, class X, class... Tapes, class D>
  auto backward(Ctx& ctx, detail::BranchesTape<X, Tapes...>&& tape, D const& d_y) const {
    detail::ConstLike<Ctx, D> const d = d_y;
    auto const each = [&](auto const& pull_back) {
      [&]<std::size_t... I>(std::index_sequence<I...>) {
        (pull_back(std::integral_constant<std::size_t, I>(), std::get<I>(tape.branches)), ...);
      }
      (std::index_sequence_for<Tapes...>());
    };
    if constexpr (Base::template have_no_gradient<Ctx, detail::ConstLike<Ctx, D>, Tapes...>) {
      each([&](auto i, auto& of_branch) { std::get<i()>(this->modules_).backward(ctx, std::move(of_branch), d); });
    } else {
      detail::Like<Ctx, X> const d_x = ctx.tensor(tape.extents);
      each([&](auto i, auto& of_branch) { this->template add_gradient<i()>(ctx, std::move(of_branch), d, d_x); });
      return d_x;
    }
  }

 private:
  template <class Ctx, class From, class Y>
  static void add(Ctx& ctx, From const& from, Y const& y, bool& is_first) {
    ATTN_CHECK(from.extents() == y.extents(), "Sum: give modules whose outputs have one shape");
    detail::put_or_add(ctx, "attn::Sum", from, y, is_first);
    is_first = false;
  }
};

/// y (..., C_1 + C_2 + ...): the outputs (..., C_i) of all, side by side. In braces the modules register their
/// parameters in the order written.
template <class... Modules>
class Concatenation : detail::SideBySide<Modules...> {
  using Base = detail::SideBySide<Modules...>;

 public:
  explicit Concatenation(Modules const&... modules) : Base(modules...) {}

  template <class X, class... Tapes>
  struct Tape {
    detail::BranchesTape<X, Tapes...> of;
    Kokkos::Array<Index, sizeof...(Modules)> widths;
  };

  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    auto all = this->forward_all(ctx, x);
    return std::apply(
        [&](auto&... branch) {
          auto const first = std::get<0>(all).value;
          using Y = detail::Like<Ctx, std::remove_const_t<decltype(first)>>;
          Kokkos::Array<Index, sizeof...(Modules)> const widths{branch.value.extent(Y::rank - 1)...};
          Index width = 0;
          for (std::size_t i = 0; i < widths.size(); ++i) width += widths[i];
          Y const y = ctx.tensor(with_width(first.extents(), width));
          Index column = 0;
          (put(ctx, branch.value, y, column), ...);
          return Forward<Y, Tape<X, decltype(branch.tape)...>>{y, {{x.extents(), {std::move(branch.tape)...}}, widths}};
        },
        all);
  }

  /// The gradient of x, where it has one.
  template <class Ctx, class X, class... Tapes, class D>
  auto backward(Ctx& ctx, Tape<X, Tapes...>&& tape, D const& d_y) const {
    Index column = 0;
    auto const each = [&](auto const& pull_back) {
      [&]<std::size_t... I>(std::index_sequence<I...>) {
        (of_columns<I>(ctx, std::get<I>(tape.of.branches), detail::ConstLike<Ctx, D>(d_y), column, tape.widths[I],
                       pull_back),
         ...);
      }
      (std::index_sequence_for<Tapes...>());
    };
    if constexpr (Base::template have_no_gradient<Ctx, detail::ConstLike<Ctx, D>, Tapes...>) {
      each([&](auto i, auto& of_branch, auto const& d) {
        std::get<i()>(this->modules_).backward(ctx, std::move(of_branch), d);
      });
    } else {
      detail::Like<Ctx, X> const d_x = ctx.tensor(tape.of.extents);
      each([&](auto i, auto& of_branch, auto const& d) {
        this->template add_gradient<i()>(ctx, std::move(of_branch), d, d_x);
      });
      return d_x;
    }
  }

 private:
  /// Modules want what is contiguous, so each branch gets its columns as a copy.
  template <std::size_t I, class Ctx, class TapeOfBranch, class D, class PullBack>
  void of_columns(Ctx& ctx, TapeOfBranch& tape, D const& d_y, Index& column, Index width,
                  PullBack const& pull_back) const {
    typename Workspace<typename Ctx::MemorySpace>::Scope const scope(ctx.workspace);
    detail::Like<Ctx, D> const d = ctx.tensor(with_width(d_y.extents(), width));
    auto const from = real_rows(d_y.rows());
    auto const to = real_rows(d.rows());
    using T = typename std::remove_cvref_t<decltype(to)>::Scalar;
    elementwise<T>(ctx.exec, "attn::Concatenation::backward", to.extent(0), width,
                   CopyMatrix<T, T>{from.data() + column, to.data(), from.stride(0), to.stride(0)});
    pull_back(std::integral_constant<std::size_t, I>(), tape, detail::ConstLike<Ctx, D>(d));
    column += width;
  }

  template <class Ctx, class From, class Y>
  static void put(Ctx& ctx, From const& from, Y const& y, Index& column) {
    static_assert(From::rank == Y::rank, "Concatenation: give modules whose outputs have one rank");
    Index const width = from.extent(Y::rank - 1);
    ATTN_CHECK(from.extents() == with_width(y.extents(), width),
               "Concatenation: give modules whose outputs differ in the last extent alone");
    auto const x = real_rows(from.rows());
    auto const to = real_rows(y.rows());
    using T = typename std::remove_cvref_t<decltype(to)>::Scalar;
    elementwise<T>(ctx.exec, "attn::Concatenation", to.extent(0), width,
                   CopyMatrix<T, T>{x.data(), to.data() + column, x.stride(0), to.stride(0)});
    column += width;
  }
};

}  // namespace attn::nn
