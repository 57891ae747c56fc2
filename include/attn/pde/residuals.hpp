/// Residuals: a loss as the numbers of whose squares it is the sum, for methods that look at each of them
/// (optim/gauss_newton.hpp).
#pragma once

#include "attn/core/random.hpp"
#include "attn/pde/loss.hpp"
#include "attn/pde/share.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace attn::pde {

namespace detail {

/// `count` of the points, or pairs of points, of a term, drawn without repetition; a term with no more stays whole.
template <class Ord, class R>
Term<R> drawn(Term<R> const& term, std::size_t count, RandomKey key) {
  constexpr std::size_t n_partners = std::size_t(partners<R, Ord>());
  std::size_t const groups = term.points.size() / n_partners;
  if (groups <= count) return term;
  std::vector<std::size_t> order(groups);
  std::iota(order.begin(), order.end(), std::size_t(0));
  for (std::size_t i = 0; i < count; ++i) {
    std::swap(order[i], order[i + std::size_t(random_bits64(key, i) % (groups - i))]);
  }
  order.resize(count);
  return selected<Ord>(term, order);
}

}  // namespace detail

/// What `loss_and_gradient` sums, as an `optim::LeastSquares` problem: sqrt(weight / n) residual, for each term its n
/// points or pairs in their order, for each of them steps, and for each of these equations.
///
///     auto problem = pde::residuals_of<Orders>(ctx, model, terms, options);
///     optim::GaussNewton newton(ctx);
///     newton.step(ctx, problem);
///
/// `residuals` is a forward pass without a tape, a third of an evaluation; `pull_back` an evaluation. Derivatives by
/// column cost a forward and a backward pass of the plain network more in either. `ctx` and `model` must outlive this.
template <class Ord, class Ctx, class Model, class... R>
class Residuals {
  using JetCtx = nn::Context<typename Ctx::Space, typename Ord::template Jet<typename Ctx::Real>>;
  using Terms = std::tuple<Term<R>...>;
  using Passes = std::tuple<detail::TermPass<Ord, R, JetCtx>...>;

 public:
  Residuals(Ctx& ctx, Model const& model, Terms const& terms, LossOptions const& options)
      : ctx_(ctx), model_(model), all_(terms), options_(options), used_(terms) {
    options.sequence.check();
    auto const check = [](auto const& term) {
      ATTN_CHECK(term.weight >= 0, "pde::Residuals: give the term \"", term.name,
                 "\" a weight that is not negative, its root is taken; got ", term.weight);
    };
    std::apply([&](auto const&... term) { (check(term), ...); }, terms);
  }

  /// Looks from now on at `points` points of each term that has more (of pairs, at as many pairs), drawn for `key`; 0:
  /// at all points. The mean over them stands for the mean over all.
  void draw(std::size_t points, RandomKey key) {
    if (points == 0) {
      used_ = all_;
      return;
    }
    std::size_t most = 0;
    std::apply([&](auto const&... term) { ((most = std::max(most, term.points.size())), ...); }, all_);
    ATTN_CHECK(points <= most, "pde::Residuals::draw: ask for at most ", most, " points, as many as there are, got ",
               points);
    used_ = std::apply(
        [&](auto const&... term) {
          return Terms{detail::drawn<Ord>(term, points, subkey(key, std::string_view(term.name)))...};
        },
        all_);
  }

  std::size_t size() const {
    auto const all = sizes();
    return std::accumulate(all.begin(), all.end(), std::size_t(0));
  }

  /// How many residuals each term has.
  std::array<std::size_t, sizeof...(R)> sizes() const {
    auto const passes = make_passes();
    return std::apply([](auto const&... pass) { return std::array<std::size_t, sizeof...(R)>{pass.count()...}; },
                      passes);
  }

  /// How many sums of them each term has: see `sums`.
  std::array<std::size_t, sizeof...(R)> sum_sizes() const {
    auto const passes = make_passes();
    return std::apply([](auto const&... pass) { return std::array<std::size_t, sizeof...(R)>{pass.sum_count()...}; },
                      passes);
  }

  void residuals(std::vector<double>& r) {
    auto passes = make_passes();
    r.resize(size());
    for_each(passes, [&](auto& pass, std::size_t first) {
      JetCtx jets(ctx_);
      find_columns(pass, jets);
      jets.training = jets.keep_tape = false;
      pass.evaluate(jets, model_, r.data() + first);
    });
  }

  void pull_back(std::vector<double> const& w) {
    auto passes = make_passes();
    JetCtx jets(ctx_);
    std::size_t const n = for_each(passes, [&](auto& pass, std::size_t) { find_columns(pass, jets); });
    ATTN_CHECK(w.size() == n, "pde::Residuals::pull_back: give ", n, " numbers, got ", w.size());
    ctx_.parameters.zero_gradients(ctx_.exec);
    jets.keep_tape = true;
    for_each(passes, [&](auto& pass, std::size_t first) { pass.pull_back(jets, model_, w.data() + first); });
  }

  /// The residuals of each point or pair and equation, summed over the steps of a pseudo-sequence and divided by the
  /// root of their number: so close to one another, their differences are small (`optim::SummedLeastSquares`).
  std::vector<double> sums(std::vector<double> const& r) const {
    std::vector<double> all;
    auto passes = make_passes();
    for_each(passes, [&](auto const& pass, std::size_t first) { pass.sum(r.data() + first, all); });
    return all;
  }

  /// Sets the parameters' gradients to the derivatives of one sum after the other, and calls row() after each: the work
  /// of one evaluation in as many passes as there are sums.
  template <class Row>
  void for_rows(Row const& row) {
    LossOptions one_by_one = options_;
    one_by_one.chunk = 1;
    auto passes = make_passes(one_by_one);
    JetCtx jets(ctx_);
    for_each(passes, [&](auto& pass, std::size_t) {
      find_columns(pass, jets);
      pass.for_rows(jets, model_, row);
    });
  }

  /// "term "residual", point 17 at (0.5, 0.25), step 2".
  std::string describe(std::size_t i) const {
    std::string text;
    auto passes = make_passes();
    for_each(passes, [&](auto const& pass, std::size_t first) {
      if (first <= i && i < first + pass.count()) text = pass.describe(i - first);
    });
    return text;
  }

  /// The loss and its terms from what `residuals` gave.
  LossValue<sizeof...(R)> value(std::vector<double> const& r) const {
    LossValue<sizeof...(R)> value;
    std::size_t number = 0;
    auto passes = make_passes();
    for_each(passes, [&](auto const& pass, std::size_t first) {
      double& term = value.terms[number++];
      for (std::size_t i = first; i < first + pass.count(); ++i) term += r.at(i) * r.at(i);
      value.total += term;
    });
    return value;
  }

 private:
  Passes make_passes() const { return make_passes(options_); }
  Passes make_passes(LossOptions const& options) const {
    return std::apply([&](auto const&... term) { return Passes(detail::TermPass<Ord, R, JetCtx>(term, options)...); },
                      used_);
  }
  /// f(pass, number of its first residual) for each term; returns the number of residuals.
  template <class F>
  static std::size_t for_each(Passes& passes, F const& f) {
    std::size_t first = 0;
    std::apply([&](auto&... pass) { ((f(pass, first), first += pass.count()), ...); }, passes);
    return first;
  }
  template <class Pass>
  void find_columns(Pass& pass, JetCtx& jets) {
    jets.keep_tape = true;
    if (pass.needs_columns()) pass.find_columns(jets, model_);
  }

  Ctx& ctx_;
  Model const& model_;
  Terms all_;
  LossOptions options_;
  Terms used_;
};

/// See `Residuals`.
template <class Ord, class Ctx, class Model, class... R>
Residuals<Ord, Ctx, Model, R...> residuals_of(Ctx& ctx, Model const& model, std::tuple<Term<R>...> const& terms,
                                              LossOptions const& options) {
  return {ctx, model, terms, options};
}

}  // namespace attn::pde
