/// The activations that `theory` knows by name, and what it can do with one.
#pragma once

#include "attn/activation/activation.hpp"
#include "attn/attention/activation_registry.hpp"

#include <functional>
#include <tuple>
#include <vector>

namespace theory {

template <class A>
struct Known {
  char const* name;
  char const* formula;
  A activation;
};
template <class A>
Known(char const*, char const*, A) -> Known<A>;

/// Functions of one score.
KOKKOS_FUNCTION constexpr auto functions() {
  return std::tuple{
      Known{"relu", "max(s, 0) / N", attn::Relu{}},
      Known{"squared_relu", "max(s, 0)² / N", attn::SquaredRelu{}},
      Known{"sigmoid", "1 / (1 + e^-s)", attn::Sigmoid{}},
      Known{"sigmoid_log_n", "1 / (1 + N e^-s)", attn::Sigmoid{.log_n = 1}},
      Known{"elu", "elu(s) + 1", attn::EluPlusOne{}},
      Known{"identity", "s", attn::Identity{}},
  };
}
/// Numerators, divided by the sum of their sizes over the row.
KOKKOS_FUNCTION constexpr auto numerators() {
  return std::tuple{
      Known{"taylor_softmax", "1 + s + s²/2, normalised", attn::TaylorExponential{}},
      Known{"l1", "s, normalised", attn::Identity{}},
      Known{"cosine", "1 + cos s, normalised", attn::RaisedCosine{}},
      Known{"power_softmax", "s², normalised", attn::AbsolutePower{2}},
      Known{"elu_normalised", "elu(s) + 1, normalised", attn::EluPlusOne{}},
  };
}

/// One of the two lists, or a polynomial c s^power: one type, and so one compilation of every kernel, for all of them.
/// What a run chooses is looked up at every evaluation; the trainers' kernels, which know their activation, are faster.
struct AnyFunction {
  enum class List { poly, functions, numerators };

  List list = List::poly;
  int index = 0;      ///< in the list
  int power = 3;      ///< of poly
  double factor = 0;  ///< c of poly; 0: 1/sqrt(n_keys)

  template <class T>
  KOKKOS_FUNCTION T operator()(T s, attn::Row row) const;
  template <class T>
  KOKKOS_FUNCTION T slope(T s, attn::Row row) const;
};

/// Calls use(a) with the activation that is meant.
template <class Use>
KOKKOS_FUNCTION auto with(AnyFunction const& any, Use const& use) {
  auto const poly = [&] { return use(attn::Poly<attn::any_power, attn::FixedScale>{{any.factor}, {any.power}}); };
  decltype(poly()) result{};
  auto const look = [&](auto const& list) {
    std::apply(
        [&](auto const&... known) {
          int at = 0;
          ((at++ == any.index ? void(result = use(known.activation)) : void()), ...);
        },
        list);
  };
  if (any.list == AnyFunction::List::poly) return poly();
  if (any.list == AnyFunction::List::functions) {
    look(functions());
  } else {
    look(numerators());
  }
  return result;
}

/// Not inlined: a kernel calls it from many places.
template <class T>
[[gnu::noinline]] KOKKOS_FUNCTION T AnyFunction::operator()(T s, attn::Row row) const {
  return with(*this, [&](auto const& a) { return a(s, row); });
}
template <class T>
[[gnu::noinline]] KOKKOS_FUNCTION T AnyFunction::slope(T s, attn::Row row) const {
  return with(*this, [&](auto const& a) { return attn::weight_and_slope(a, s, row).slope; });
}

/// One row of weights in double, and its derivatives dw_j / ds_l = [j = l] own_l + w_j shared_l.
struct WeightRow {
  std::vector<double> weights, own, shared;
};

template <class A>
void differentiate(A const& a, std::vector<double> const& scores, WeightRow& to) {
  to.weights.resize(scores.size());
  to.own.resize(scores.size());
  to.shared.assign(scores.size(), 0.0);
  if constexpr (attn::RowActivation<A, double>) {
    typename A::template Stats<double> stats;
    for (double const s : scores) (void)a.absorb(stats, s);
    for (std::size_t l = 0; l < scores.size(); ++l) {
      to.weights[l] = a.numerator(scores[l], stats) / a.normalizer(stats);
      to.own[l] = attn::pull_back(a, scores[l], to.weights[l], 1.0, 0.0, stats);
      to.shared[l] = attn::pull_back(a, scores[l], to.weights[l], 0.0, 1.0, stats);
    }
  } else {
    for (std::size_t l = 0; l < scores.size(); ++l) {
      auto const w = attn::weight_and_slope(a, scores[l], attn::Row{int(scores.size()), 0});
      to.weights[l] = w.weight;
      to.own[l] = w.slope;
    }
  }
}

/// Any activation: fused kernels that gather norms and statistics, and derivatives of single rows.
class Activation {
 public:
  using Exec = Kokkos::DefaultExecutionSpace;
  using Statistics = attn::AttentionStatistics<float, Exec::memory_space>;
  using Kernels = attn::BasicAnyActivation<attn::AttentionCall<Exec, float, attn::Full, Statistics>>;

  template <class A>
  requires(!std::same_as<A, Activation>) Activation(A const& a)
      : kernels_(a), differentiate_([a](std::vector<double> const& scores, WeightRow& to) {
          theory::differentiate(a, scores, to);
        }) {}

  Kernels const& kernels() const { return kernels_; }
  void differentiate(std::vector<double> const& scores, WeightRow& to) const { differentiate_(scores, to); }

 private:
  Kernels kernels_;
  std::function<void(std::vector<double> const&, WeightRow&)> differentiate_;
};

attn::ActivationRegistry<Activation> const& activations();

}  // namespace theory
