/// Sequential: modules of different types, one after the other.
#pragma once

#include "attn/nn/module.hpp"

#include <tuple>

namespace attn::nn {

/// y = f_n(... f_1(x)): `Sequential net{Linear(ctx / "0", {.inputs = 2, .outputs = 32}), Pointwise<Tanh>(), ...}`. In
/// braces the modules register their parameters in the order written.
template <class... Modules>
class Sequential {
  static_assert(sizeof...(Modules) > 0, "Sequential: give at least one module");

 public:
  template <class... Tapes>
  struct Tape {
    std::tuple<Tapes...> layers;
  };

  explicit Sequential(Modules const&... modules) : modules_(modules...) {}

  template <class Ctx, class X>
  auto forward(Ctx& ctx, X const& x) const {
    return forward_from<0>(ctx, x, std::tuple<>());
  }

  template <class Ctx, class... Tapes, class D>
  auto backward(Ctx& ctx, Tape<Tapes...>&& tape, D const& d_y) const {
    return backward_from<sizeof...(Modules) - 1>(ctx, tape, d_y);
  }

  template <std::size_t I>
  auto const& get() const {
    return std::get<I>(modules_);
  }

 private:
  template <std::size_t I, class Ctx, class X, class... Tapes>
  auto forward_from(Ctx& ctx, X const& x, std::tuple<Tapes...>&& before) const {
    auto const& layer = std::get<I>(modules_);
    check_module_concept<std::tuple_element_t<I, std::tuple<Modules...>>, Ctx, X>();
    auto result = layer.forward(ctx, x);
    auto tapes = std::tuple_cat(std::move(before), std::make_tuple(std::move(result.tape)));
    if constexpr (I + 1 < sizeof...(Modules)) {
      return forward_from<I + 1>(ctx, result.value, std::move(tapes));
    } else {
      return [&]<class... All>(std::tuple<All...>&& all) {
        return Forward<decltype(result.value), Tape<All...>>{result.value, {std::move(all)}};
      }(std::move(tapes));
    }
  }

  template <std::size_t I, class Ctx, class T, class D>
  auto backward_from(Ctx& ctx, T& tape, D const& d_y) const {
    auto&& layer = std::get<I>(tape.layers);
    if constexpr (I == 0) {  // whose input may have no gradient
      return std::get<0>(modules_).backward(ctx, std::move(layer), d_y);
    } else {
      return backward_from<I - 1>(ctx, tape, std::get<I>(modules_).backward(ctx, std::move(layer), d_y));
    }
  }

  std::tuple<Modules...> modules_;
};

}  // namespace attn::nn
