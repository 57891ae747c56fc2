/// TermPass: a term of a loss on derivatives of a network, in passes of jets over chunks of its points.
#pragma once

#include "attn/core/host_copy.hpp"
#include "attn/nn/context.hpp"
#include "attn/pde/residual.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <sstream>
#include <string>

namespace attn::pde {

/// What u_x means at step j of a pseudo-sequence whose steps mix in the network.
///
/// * `total`: all steps move together: d u_j / dx, what the equation asks for.
/// * `column`: sum_i d u_i / d x_j, where the steps' coordinates are independent variables: what reverse
/// differentiation
///   of the summed outputs gives, hence what the published notebooks of PINNsFormer compute.
enum class Derivative { total, column };

/// Points that pass the network at once where nobody says how many: on a host enough for the matrix products and few
/// for the cache; on a device those of most problems, because each chunk waits for the residuals, which the host
/// evaluates.
inline constexpr Index default_chunk = HostExecutionSpace<Kokkos::DefaultExecutionSpace> ? 64 : 8192;

/// How a loss of residuals is evaluated.
struct LossOptions {
  PseudoSequence sequence = {.length = 1, .step = 0};
  Derivative derivative = Derivative::total;
  Index chunk = default_chunk;
};

namespace detail {

/// One term of a loss, chunk by chunk.
template <class Ord, class R, class JetCtx>
class TermPass {
  using J = typename JetCtx::Scalar;
  using Real = typename JetCtx::Real;
  using Memory = typename JetCtx::MemorySpace;
  using Planes = JetPlanes<J>;
  using Eval = Evaluation<Ord, R>;
  static constexpr int size = J::size;
  static constexpr std::size_t partners = std::size_t(Eval::n_partners);

 public:
  TermPass(Term<R> const& term, LossOptions const& options)
      : term_(term), options_(options), wanted_(used_derivatives<Ord>(term.residual)) {
    for (int d = 0; d < Ord::coordinates; ++d) tangents_[std::size_t(d)][std::size_t(d)] = 1;
    if (options.derivative == Derivative::total) follow(only_direction<Ord>(term.residual));
    ATTN_CHECK(term.points.dimensions == Ord::coordinates, "pde::Loss: give the term \"", term.name, "\" points of ",
               Ord::coordinates, " coordinates, got ", term.points.dimensions);
    ATTN_CHECK(term.points.size() > 0 && term.points.size() % partners == 0, "pde::Loss: give the term \"", term.name,
               "\" ", partners == 2 ? "pairs of points" : "points", ", got ", term.points.size(), " points");
    std::size_t const columns = term.points.size() * std::size_t(term.points.columns);
    ATTN_CHECK(term.points.data.size() == columns, "pde::Loss: give the term \"", term.name, "\" ", columns,
               " numbers of data, got ", term.points.data.size());
    ATTN_CHECK(term.weights.empty() || term.weights.size() == std::size_t(groups()), "pde::Loss: give the term \"",
               term.name, "\" ", groups(), " weights of points, or none, got ", term.weights.size());
    for (double const w : term.weights) {
      ATTN_CHECK(w >= 0, "pde::Loss: give points of the term \"", term.name, "\" weights that are not negative, got ",
                 w);
    }
  }

  bool needs_columns() const {
    auto beyond = wanted_;
    beyond[0] = false;
    return options_.derivative == Derivative::column && beyond.any();
  }

  /// Derivatives by column, by one backward pass of the plain network whose parameter gradients are of no use.
  template <class Model>
  void find_columns(JetCtx& ctx, Model const& model) {
    for (int c = 0; c < size; ++c) {
      ATTN_CHECK(!wanted_[std::size_t(c)] || direction_of(c) >= -1, "pde::Loss: the term \"", term_.name,
                 "\" asks for a derivative of second order; use total derivatives, columns are of first order");
    }
    ctx.planes = Planes::closure_of({});
    columns_.clear();
    for_chunks([&](Index first, Index count) {
      ctx.begin_step();
      auto const x = points(ctx, first, count, nullptr);
      auto [u, tape] = model.forward(ctx, x);
      ATTN_CHECK(u.extent(2) == 1, "pde::Loss: derivatives by column need a network with one output, got ",
                 u.extent(2));
      nn::AdjointPhase const phase(ctx);
      auto const d_u = ctx.tensor(u.extents());
      copy_from_host<Memory>(std::vector<Real>(std::size_t(u.size()), Real(1)), d_u.data().first());
      auto const d_x = model.backward(ctx, std::move(tape), d_u);
      ctx.exec.fence("attn::pde::Loss");
      auto const values = host_copy<Memory>(d_x.data().first(), std::size_t(d_x.size()));
      columns_.insert(columns_.end(), values.begin(), values.end());
    });
  }

  /// Numbers whose squares, times `factor` and the weights of their points, are the weighted term.
  std::size_t count() const { return std::size_t(groups()) * std::size_t(used_steps() * Eval::equations); }
  /// Of the sums over steps that stand for them.
  std::size_t sum_count() const { return std::size_t(groups()) * std::size_t(Eval::equations); }
  double factor() const { return term_.weight / (static_cast<double>(groups()) * used_steps()); }

  /// Where residual number i comes from.
  std::string describe(std::size_t i) const {
    std::size_t const equations = std::size_t(Eval::equations), steps = std::size_t(used_steps());
    std::size_t const group = i / (steps * equations), step = i / equations % steps;
    std::string at;
    for (int c = 0; c < Ord::coordinates; ++c) {
      std::ostringstream number;
      number << options_.sequence.at(term_.points[group], Ord::coordinates, c, int(step));
      at += (c > 0 ? ", " : "") + number.str();
    }
    std::string text = "term \"" + term_.name + "\", " + (partners == 2 ? "pair " : "point ") + std::to_string(group) +
                       " at (" + at + ")";
    if (steps > 1) text += ", step " + std::to_string(step);
    if (equations > 1) text += ", equation " + std::to_string(i % equations);
    return text;
  }

  /// The residuals, each times the root of `factor` and of its point's weight, to `to`: forward passes alone.
  template <class Model>
  void evaluate(JetCtx& ctx, Model const& model, double* to) {
    out_ = to;
    std::vector<Real> none;
    bool const by_column = needs_columns();
    for_chunks([&](Index first, Index count) {
      ctx.begin_step();
      ctx.planes = Planes::closure_of(by_column ? typename Probe<Ord>::Used() : wanted_);
      residuals(ctx, model, first, count, by_column ? &none : nullptr);
    });
    out_ = nullptr;
  }

  /// Adds J^T w to the parameters' gradients, J the Jacobian of what `evaluate` gives.
  template <class Model>
  void pull_back(JetCtx& ctx, Model const& model, double const* w) {
    cotangents_ = w;
    add(ctx, model);
    cotangents_ = nullptr;
  }

  /// The weighted loss; its gradient is added to the parameters'.
  template <class Model>
  double add(JetCtx& ctx, Model const& model) {
    double squares = 0;
    for_chunks([&](Index first, Index count) { squares += add(ctx, model, first, count); });
    return squares * factor();
  }

  /// Appends to `all` the residuals r of each point or pair and equation, summed over the steps of a pseudo-sequence
  /// and divided by the root of their number.
  void sum(double const* r, std::vector<double>& all) const {
    std::size_t const equations = std::size_t(Eval::equations), steps = std::size_t(used_steps());
    for (std::size_t i = 0; i < sum_count(); ++i) {
      double total = 0;
      for (std::size_t j = 0; j < steps; ++j) total += r[(i / equations * steps + j) * equations + i % equations];
      all.push_back(total / std::sqrt(double(steps)));
    }
  }

  /// Sets the parameters' gradients to the derivatives of one such sum after the other, and calls row() after each.
  /// Wants chunks of one point or pair.
  template <class Model, class Row>
  void for_rows(JetCtx& ctx, Model const& model, Row const& row) {
    std::size_t const equations = std::size_t(Eval::equations);
    double const part = 1 / std::sqrt(double(used_steps()));
    std::vector<double> w(count(), 0.0);
    cotangents_ = w.data();
    for_chunks([&](Index first, Index count) {
      for (std::size_t e = 0; e < equations; ++e) {
        auto const set = [&](double value) {
          for (int j = 0; j < used_steps(); ++j) {
            w[std::size_t(first * used_steps() + j) * equations + e] = value;
          }
        };
        set(part);
        ctx.parameters.zero_gradients(ctx.exec);
        add(ctx, model, first, count);
        set(0);
        row();
      }
    });
    cotangents_ = nullptr;
  }

 private:
  using Direction = std::array<double, std::size_t(Ord::coordinates)>;

  /// Lets the jets carry the derivative along `direction` alone, in place of that by a coordinate which it leaves: the
  /// residual sees u_x of a solution whose other first derivatives vanish, with x scaled so that the sum is the same.
  void follow(std::optional<Direction> const& direction) {
    if (!direction) return;
    std::size_t const pivot =
        std::size_t(std::ranges::find_if(*direction, [](double c) { return c != 0; }) - direction->begin());
    auto const coefficients = first_derivatives(Ord{});
    for (std::size_t d = 0; d < coefficients.size(); ++d) {
      wanted_[std::size_t(coefficients[d])] = d == pivot;
      tangents_[pivot][d] = (*direction)[d] / (*direction)[pivot];
    }
  }

  Index groups() const { return Index(term_.points.size() / partners); }
  int used_steps() const { return term_.first_step_only ? 1 : options_.sequence.length; }

  /// Calls body(first, count) for ranges of the points, or of pairs.
  template <class Body>
  void for_chunks(Body const& body) const {
    Index const all = groups(), chunk = std::max<Index>(1, options_.chunk / Index(partners));
    for (Index first = 0; first < all; first += chunk) body(first, std::min(chunk, all - first));
  }

  /// The number of the point that is row `row` of a chunk: the first partners, then the second ones.
  std::size_t point_of(Index first, Index count, Index row) const {
    return std::size_t(row / count) * std::size_t(groups()) + std::size_t(first + row % count);
  }

  static std::bitset<std::size_t(size)> first_direction() {
    std::bitset<std::size_t(size)> wanted;
    wanted[std::size_t(first_derivative_of<0>(Ord{}))] = true;
    return wanted;
  }

  /// The coordinate whose first derivative is coefficient c; -1 for the value, -2 for anything else.
  static int direction_of(int c) {
    using Layout = typename J::Layout;
    int direction = -1, degree = 0;
    for (int d = 0; d < Layout::directions; ++d) {
      degree += Layout::digit(c, d);
      if (Layout::digit(c, d) == 1) direction = d;
    }
    return degree > 1 ? -2 : direction;
  }

  /// The points of a chunk with their tangents: `tangents_`, or by point those in `slopes` (value's slope, then
  /// coordinates').
  Tensor<J, 3, Memory> points(JetCtx& ctx, Index first, Index count, std::vector<Real> const* slopes) const {
    Index const rows = count * Index(partners), steps = options_.sequence.length;
    int const dimensions = Ord::coordinates;
    auto const x = ctx.tensor(rows, steps, dimensions);
    std::size_t const plane = std::size_t(x.size());
    std::vector<Real> host(plane * std::size_t(x.planes().count), Real(0));
    for (Index row = 0; row < rows; ++row) {
      double const* const point = term_.points[point_of(first, count, row)];
      for (Index i = 0; i < steps; ++i) {
        for (int d = 0; d < dimensions; ++d) {
          std::size_t const at = std::size_t((row * steps + i) * dimensions + d);
          host[at] = static_cast<Real>(options_.sequence.at(point, dimensions, d, static_cast<int>(i)));
          for (int c = 1; c < size; ++c) {
            if (x.planes()[c] < 0 || direction_of(c) < 0) continue;
            Real& tangent = host[std::size_t(x.planes()[c]) * plane + at];
            if (slopes != nullptr) {
              tangent = (*slopes)[std::size_t(row * steps + i) * std::size_t(dimensions + 1) + std::size_t(1 + d)];
            } else {
              tangent = static_cast<Real>(tangents_[std::size_t(direction_of(c))][std::size_t(d)]);
            }
          }
        }
      }
    }
    copy_from_host<Memory>(host, x.data().first());
    return x;
  }

  /// The squares of the points of a chunk; the gradient of their part of the loss is added to the parameters'.
  template <class Model>
  double add(JetCtx& ctx, Model const& model, Index first, Index count) {
    ctx.begin_step();
    if (!needs_columns()) {
      ctx.planes = Planes::closure_of(wanted_);
      double const squares = residuals(ctx, model, first, count, nullptr);
      ctx.exec.fence("attn::pde::Loss");
      return squares;
    }
    // The gradient of sum_j g_j du/dx_j, g constant, is that of the derivative along the direction g: one jet, whose
    // tangents are the residual's own slopes.
    ctx.planes = Planes::closure_of({});
    std::vector<Real> slopes;
    double const squares = residuals(ctx, model, first, count, &slopes);
    ctx.begin_step();
    ctx.planes = Planes::closure_of(first_direction());
    auto const x = points(ctx, first, count, &slopes);
    auto [u, tape] = model.forward(ctx, x);
    nn::AdjointPhase const phase(ctx);
    auto const d_u = ctx.tensor(u.extents());
    std::size_t const n = std::size_t(u.size()), stride = std::size_t(Ord::coordinates + 1);
    std::vector<Real> d(n * 2, Real(1));
    for (std::size_t i = 0; i < n; ++i) d[i] = slopes[i * stride];
    copy_from_host<Memory>(d, d_u.data().first());
    model.backward(ctx, std::move(tape), d_u);
    ctx.exec.fence("attn::pde::Loss");
    return squares;
  }

  /// Forward, residuals and, unless `slopes` asks for the slopes by column instead, backward of one chunk. Returns the
  /// sum of squares. Where `out_` is set, there is no more than residuals; where `cotangents_` is, it stands for the
  /// residuals in the backward pass.
  template <class Model>
  double residuals(JetCtx& ctx, Model const& model, Index first, Index count, std::vector<Real>* slopes) {
    auto const x = points(ctx, first, count, nullptr);
    auto [u, tape] = model.forward(ctx, x);
    ctx.exec.fence("attn::pde::Loss");
    Planes const planes = ctx.planes;
    std::size_t const plane = std::size_t(u.size());
    auto const values = host_copy<Memory>(u.data().first(), plane * std::size_t(planes.count));
    bool const by_column = slopes != nullptr, only_residuals = out_ != nullptr;
    std::vector<Real> d(by_column || only_residuals ? 0 : values.size(), Real(0));
    int const steps = options_.sequence.length, outputs = static_cast<int>(u.extent(2)), dimensions = Ord::coordinates;
    if (by_column) slopes->assign(plane * std::size_t(dimensions + 1), Real(0));

    Eval evaluation(term_.residual, outputs);
    std::vector<std::array<double, Ord::coordinates>> at(partners);
    double squares = 0;
    for (Index group = 0; group < count; ++group) {
      double const weight = term_.weights.empty() ? 1 : term_.weights[std::size_t(first + group)];
      double const root = std::sqrt(weight * factor());
      double const slope_factor = cotangents_ != nullptr ? root : 2 * weight * factor();
      for (int i = 0; i < used_steps(); ++i) {
        std::array<double const*, partners> coordinates{}, data{};
        auto const token_of = [&](std::size_t p) { return (group + Index(p) * count) * steps + i; };
        for (std::size_t p = 0; p < partners; ++p) {
          std::size_t const point = point_of(first, count, group + Index(p) * count);
          for (int c = 0; c < dimensions; ++c) {
            at[p][std::size_t(c)] = options_.sequence.at(term_.points[point], dimensions, c, i);
          }
          coordinates[p] = at[p].data();
          data[p] = term_.points.data.data() + point * std::size_t(term_.points.columns);
          for (int o = 0; o < outputs; ++o) {
            std::size_t const element = std::size_t(token_of(p) * outputs + o);
            for (int c = 0; c < size; ++c) {
              double value = 0;
              if (by_column && c != 0 && direction_of(c) >= 0) {
                std::size_t const token = std::size_t(first * steps + token_of(p));
                value = static_cast<double>(columns_[token * std::size_t(dimensions) + std::size_t(direction_of(c))]);
              } else if (planes[c] >= 0) {
                value = static_cast<double>(values[std::size_t(planes[c]) * plane + element]);
              }
              evaluation.coefficients[p][std::size_t(o * size + c)] = value;
            }
          }
        }
        std::size_t const number =
            (std::size_t(first + group) * std::size_t(used_steps()) + std::size_t(i)) * std::size_t(Eval::equations);
        if (only_residuals) {
          auto const r = evaluation.values(coordinates, data);
          for (std::size_t e = 0; e < r.size(); ++e) out_[number + e] = root * r[e];
          continue;
        }
        squares += weight * evaluation(coordinates, data, cotangents_ != nullptr ? cotangents_ + number : nullptr);
        for (std::size_t p = 0; p < partners; ++p) {
          for (int o = 0; o < outputs; ++o) {
            std::size_t const element = std::size_t(token_of(p) * outputs + o);
            for (int c = 0; c < size; ++c) {
              if (!wanted_[std::size_t(c)]) continue;
              Real const slope = static_cast<Real>(slope_factor * evaluation.slopes[p][std::size_t(o * size + c)]);
              if (!by_column) {
                d[std::size_t(planes[c]) * plane + element] = slope;
              } else {
                (*slopes)[element * std::size_t(dimensions + 1) + std::size_t(direction_of(c) + 1)] = slope;
              }
            }
          }
        }
      }
    }
    if (by_column || only_residuals) return squares;
    nn::AdjointPhase const phase(ctx);
    auto const d_u = ctx.tensor(u.extents());
    copy_from_host<Memory>(d, d_u.data().first());  // the adjoint of a coefficient lies in the coefficient's plane
    model.backward(ctx, std::move(tape), d_u);
    return squares;
  }

  Term<R> const& term_;
  LossOptions options_;
  typename Probe<Ord>::Used wanted_;
  std::array<Direction, std::size_t(Ord::coordinates)>
      tangents_{};             // what the first derivative by a coordinate follows
  std::vector<Real> columns_;  // (points, steps, coordinates) in the order of chunks
  double* out_ = nullptr;
  double const* cotangents_ = nullptr;
};

}  // namespace detail

}  // namespace attn::pde
