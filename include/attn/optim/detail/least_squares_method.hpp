/// LeastSquaresMethod: what methods for sums of squares have in common.
#pragma once

#include "attn/optim/detail/attributes.hpp"
#include "attn/optim/least_squares.hpp"
#include "attn/optim/optimizer.hpp"

#include <cstdint>
#include <initializer_list>
#include <vector>

namespace attn::optim::detail {

/// The residuals, the number of steps, and how a step starts. `Method::name` is for messages.
template <class Method, Real T, class Memory>
class LeastSquaresMethod {
 public:
  /// The residuals at the parameters that the last step left.
  std::vector<double> const& residuals() const { return r_; }

  /// Steps so far.
  std::uint64_t steps() const { return steps_; }

  /// What must be kept to go on after an interruption to the same bits, besides `numbers()`.
  template <class Ctx>
  State<T, Memory> state(Ctx&) {
    return {{}, &steps_};
  }

 protected:
  using Vector = Kokkos::View<T*, Memory>;

  /// Finds the residuals, by a forward pass that it counts in `report`, and the loss.
  template <class Ctx, class P, class Report>
  void start(Ctx& ctx, P& problem, Report& report) {
    attributes_.prepare(ctx.parameters);
    attributes_.check_one_rate(ctx.parameters, Method::name);
    problem.residuals(r_);
    ++report.forwards;
    check_residuals(problem, r_, Method::name, "at the start of the step");
    report.first_loss = report.loss = dot(r_, r_);
  }

  /// Makes `vectors` as long as the parameters, unless they are.
  template <class Ctx>
  static void prepare(Ctx& ctx, std::initializer_list<Vector*> vectors) {
    std::size_t const extent = std::size_t(ctx.parameters.extent());
    for (Vector* v : vectors) {
      if (v->extent(0) != extent) *v = Vector(Method::name, extent);
    }
  }

  GranuleAttributes<T, Memory> attributes_;
  std::vector<double> r_;
  std::uint64_t steps_ = 0;
};

}  // namespace attn::optim::detail
