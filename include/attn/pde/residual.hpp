/// Residuals: parts of a loss that are written in terms of derivatives of the solution, and their slopes.
///
/// A residual is a functor of the solution at a point: `template <class U> ATTN_FUNCTION auto operator()(U const& u)
/// const` returns what should be zero, built from `d<1, 0>(u)`, `coordinate(u, 0)` and `data(u, 0)`; several equations
/// are returned as a `Kokkos::Array`. A functor of two solutions, `(U const& u, U const& v)`, ties pairs of points, as
/// periodic boundaries do. Its slopes with respect to every derivative come from evaluating it on jets.
#pragma once

#include "attn/pde/collocation.hpp"
#include "attn/pde/derivative.hpp"

#include <algorithm>
#include <array>
#include <bitset>
#include <concepts>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace attn::pde {

/// A part of the loss: `weight` times the mean of the square of `residual` over points, steps and (summed) equations,
/// each point with a weight of its own where `weights` holds them.
template <class R>
struct Term {
  std::string name;
  R residual;
  Points points;                 ///< of a functor of pairs: the first partners, then the second ones
  bool first_step_only = false;  ///< of a pseudo-sequence
  double weight = 1;
  std::vector<double> weights = {};  ///< of the points, or pairs, not negative; empty: 1 each
};

namespace detail {

template <class R, class U>
inline constexpr bool is_residual = std::invocable<R const&, U const&> || std::invocable<R const&, U const&, U const&>;

/// How many points one value of a residual looks at.
template <class R, class Ord>
constexpr int partners() {
  using U = Probe<Ord>;
  static_assert(is_residual<R, U>,
                "residual: write template <class U> auto operator()(U const& u) const, or with two arguments "
                "(U const& u, U const& v) for pairs of points: see attn/pde/residual.hpp");
  return std::invocable<R const&, U const&> ? 1 : 2;
}

template <class R, class U>
auto call(R const& residual, std::array<U, 1> const& u) {
  return residual(u[0]);
}
template <class R, class U>
auto call(R const& residual, std::array<U, 2> const& u) {
  return residual(u[0], u[1]);
}

template <class Value>
struct EquationsOf {
  static constexpr int count = 1;
  template <class V>
  static auto const& get(V const& v, int) {
    return v;
  }
};
template <class S, std::size_t N>
struct EquationsOf<Kokkos::Array<S, N>> {
  static constexpr int count = int(N);
  template <class V>
  static auto const& get(V const& v, int e) {
    return v[std::size_t(e)];
  }
};

template <class Ord, class R>
typename Probe<Ord>::Noted noted_by(R const& residual) {
  typename Probe<Ord>::Noted noted;
  std::array<Probe<Ord>, std::size_t(partners<R, Ord>())> const probes = [&] {
    if constexpr (partners<R, Ord>() == 1)
      return std::array{Probe<Ord>(noted)};
    else
      return std::array{Probe<Ord>(noted), Probe<Ord>(noted)};
  }();
  (void)call(residual, probes);
  return noted;
}

/// The derivatives that a residual asks for.
template <class Ord, class R>
typename Probe<Ord>::Used used_derivatives(R const& residual) {
  auto const noted = noted_by<Ord>(residual);
  typename Probe<Ord>::Used used;
  for (int c = 0; c < Probe<Ord>::size; ++c) used[std::size_t(c)] = noted.derivatives[c];
  if (noted.directions > 0) {
    for (int const c : first_derivatives(Ord{})) used[std::size_t(c)] = true;
  }
  return used;
}

/// The direction along which a residual asks for a derivative, if it asks for no other.
template <class Ord, class R>
std::optional<std::array<double, std::size_t(Ord::coordinates)>> only_direction(R const& residual) {
  auto const noted = noted_by<Ord>(residual);
  auto const direction = std::to_array(noted.direction);
  bool only = noted.directions == 1 && std::ranges::any_of(direction, [](double c) { return c != 0; });
  for (int c = 1; c < Probe<Ord>::size; ++c) only = only && !noted.derivatives[c];
  if (!only) return std::nullopt;
  return direction;
}

/// Evaluates a residual and its slopes at one place: `outputs` numbers of the network for each of its partners.
template <class Ord, class R>
class Evaluation {
 public:
  static constexpr int n_partners = partners<R, Ord>();
  static constexpr int size = Probe<Ord>::size;
  using Coefficients = std::array<std::vector<double>, std::size_t(n_partners)>;  // (outputs, size) each
  static constexpr int equations = EquationsOf<decltype(call(
      std::declval<R const&>(),
      std::declval<std::array<Solution<double, Ord>, std::size_t(n_partners)> const&>()))>::count;

  Evaluation(R const& residual, int outputs)
      : residual_(residual), used_(used_derivatives<Ord>(residual)), outputs_(outputs) {
    for (auto* c : {&coefficients, &slopes}) {
      for (auto& of_partner : *c) of_partner.assign(std::size_t(outputs * size), 0.0);
    }
    for (auto& of_partner : jets_) of_partner.assign(std::size_t(outputs * size), J(0.0));
  }

  Coefficients coefficients;  // Taylor coefficients of the solution: set before the call
  Coefficients slopes;        // set by the call: the gradient of half the sum of squares

  /// The residuals of the equations. `coordinates` and `data` of each partner.
  std::array<double, std::size_t(equations)> values(
      std::array<double const*, std::size_t(n_partners)> const& coordinates,
      std::array<double const*, std::size_t(n_partners)> const& data) {
    take_coefficients();
    auto const value = evaluate(coordinates, data);
    using E = EquationsOf<std::remove_cvref_t<decltype(value)>>;
    std::array<double, std::size_t(equations)> r{};
    for (int e = 0; e < equations; ++e) r[std::size_t(e)] = J(E::get(value, e)).value();
    return r;
  }

  /// Returns the sum of squares over the equations. With `cotangents`, one for each equation, the slopes are those of
  /// the sum of the residuals times these numbers.
  double operator()(std::array<double const*, std::size_t(n_partners)> const& coordinates,
                    std::array<double const*, std::size_t(n_partners)> const& data,
                    double const* cotangents = nullptr) {
    take_coefficients();
    double squares = used_.none() ? sum_of_squares(evaluate(coordinates, data)) : 0;
    for (std::size_t p = 0; p < n_partners; ++p) {
      for (int o = 0; o < outputs_; ++o) {
        for (int c = 0; c < size; ++c) {
          if (!used_[std::size_t(c)]) continue;
          J& seeded = jets_[p][std::size_t(o * size + c)];
          seeded.coefficients[1] = 1;
          auto const value = evaluate(coordinates, data);
          seeded.coefficients[1] = 0;
          using E = EquationsOf<std::remove_cvref_t<decltype(value)>>;
          double slope = 0;
          for (int e = 0; e < E::count; ++e) {
            J const r = J(E::get(value, e));
            slope += (cotangents == nullptr ? r.coefficients[0] : cotangents[e]) * r.coefficients[1];
          }
          squares = sum_of_squares(value);
          slopes[p][std::size_t(o * size + c)] = slope;
        }
      }
    }
    return squares;
  }

  typename Probe<Ord>::Used const& used() const { return used_; }

 private:
  using J = attn::Jet<double, 1>;

  void take_coefficients() {
    for (std::size_t p = 0; p < n_partners; ++p) {
      for (std::size_t i = 0; i < jets_[p].size(); ++i) jets_[p][i] = J(coefficients[p][i]);
    }
  }

  template <class Value>
  static double sum_of_squares(Value const& value) {
    using E = EquationsOf<std::remove_cvref_t<Value>>;
    double sum = 0;
    for (int e = 0; e < E::count; ++e) {
      double const r = J(E::get(value, e)).value();
      sum += r * r;
    }
    return sum;
  }

  auto evaluate(std::array<double const*, std::size_t(n_partners)> const& coordinates,
                std::array<double const*, std::size_t(n_partners)> const& data) const {
    using U = Solution<J, Ord>;
    if constexpr (n_partners == 1) {
      return call(residual_, std::array<U, 1>{U(jets_[0].data(), coordinates[0], data[0])});
    } else {
      return call(residual_, std::array<U, 2>{U(jets_[0].data(), coordinates[0], data[0]),
                                              U(jets_[1].data(), coordinates[1], data[1])});
    }
  }

  R residual_;
  typename Probe<Ord>::Used used_;
  int outputs_;
  std::array<std::vector<J>, std::size_t(n_partners)> jets_;
};

}  // namespace detail
}  // namespace attn::pde
