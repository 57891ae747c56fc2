/// Shares of the points of a loss: what each of several processes looks at, so that the sum over all is the loss.
#pragma once

#include "attn/pde/residual.hpp"

#include <cstddef>
#include <utility>
#include <vector>

namespace attn::pde {

namespace detail {

/// A term on some of its points, or of its pairs of points.
template <class Ord, class R>
Term<R> selected(Term<R> const& term, std::vector<std::size_t> const& groups) {
  constexpr std::size_t n_partners = std::size_t(partners<R, Ord>());
  std::size_t const all = term.points.size() / n_partners;
  Points points{.dimensions = term.points.dimensions, .coordinates = {}, .columns = term.points.columns};
  for (std::size_t p = 0; p < n_partners; ++p) {
    for (std::size_t const group : groups) {
      std::size_t const at = p * all + group;
      double const* const x = term.points[at];
      double const* const data = term.points.data.data() + at * std::size_t(points.columns);
      points.coordinates.insert(points.coordinates.end(), x, x + points.dimensions);
      points.data.insert(points.data.end(), data, data + points.columns);
    }
  }
  std::vector<double> weights;
  for (std::size_t const group : groups) {
    if (!term.weights.empty()) weights.push_back(term.weights[group]);
  }
  return {term.name, term.residual, std::move(points), term.first_step_only, term.weight, std::move(weights)};
}

}  // namespace detail

/// What `rank` of `ranks` looks at of a term: the points (or pairs) rank, rank + ranks, ..., and of the weight so much
/// that the sum of the shares is the term. Where there are fewer points than ranks, some look at the first point for
/// nothing.
template <class Ord, class R>
Term<R> share(Term<R> const& term, std::size_t rank, std::size_t ranks) {
  ATTN_CHECK(rank < ranks, "pde::share: give a rank below the ", ranks, " ranks, got ", rank);
  if (ranks == 1) return term;
  std::size_t const all = term.points.size() / std::size_t(detail::partners<R, Ord>());
  std::vector<std::size_t> groups;
  for (std::size_t i = rank; i < all; i += ranks) groups.push_back(i);
  double const part = double(groups.size()) / double(all);
  if (groups.empty()) groups.push_back(0);
  Term<R> shared = detail::selected<Ord>(term, groups);
  shared.weight *= part;
  return shared;
}

}  // namespace attn::pde
