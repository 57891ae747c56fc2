// A differential equation and an activation of one's own: heat that flows out of a rod, u_t = k u_xx.
#include "attn/io/waiting.hpp"
#include "attn/models/pinnsformer.hpp"
#include "attn/nn/context.hpp"
#include "attn/optim/lbfgs.hpp"
#include "attn/pde/predict.hpp"

#include <cmath>
#include <cstdio>

using attn::pde::d;

struct Heat {  // the whole equation; its slopes with respect to u_t and u_xx follow by themselves
  double k;
  template <class U>
  ATTN_FUNCTION auto operator()(U const& u) const {
    return d<0, 1>(u) - k * d<2, 0>(u);
  }
};

struct ColdEnd {
  template <class U>
  ATTN_FUNCTION auto operator()(U const& u) const {
    return d<0, 0>(u);
  }
};

struct WarmStart {
  template <class U>
  ATTN_FUNCTION auto operator()(U const& u) const {
    return d<0, 0>(u) - attn::sin(3.141592653589793 * attn::pde::coordinate(u, 0));
  }
};

struct SquaredRelu {  // the whole activation, forward, backward and every derivative
  template <class T>
  ATTN_FUNCTION T operator()(T score, attn::Row row) const {
    T const positive = attn::max(score, T(0));
    return positive * positive / T(attn::RealOf<T>(row.n_keys));
  }
};

int main(int argc, char** argv) {
  attn::io::limit_spinning(argv);  // the steps are small
  Kokkos::ScopeGuard const kokkos(argc, argv);
  namespace pde = attn::pde;
  double const k = 0.2;

  attn::nn::Context<Kokkos::DefaultExecutionSpace> ctx(/*seed=*/1);
  attn::models::PinnsFormer<SquaredRelu> const model(ctx, {.width = 16, .hidden = 32, .head_hidden = 32});

  pde::Domain const rod{.x_low = 0, .x_high = 1, .t_low = 0, .t_high = 1};
  auto const ends = pde::join(pde::edge_points(rod, 11, false), pde::edge_points(rod, 11, true));
  auto const terms = std::tuple(pde::Term<Heat>{"equation", {k}, pde::grid(rod, 11, 11)},
                                pde::Term<ColdEnd>{"ends", {}, ends, false, 5},
                                pde::Term<WarmStart>{"start", {}, pde::initial_points(rod, 11), true, 5});
  pde::LossOptions const options{.sequence = {.length = 5, .step = 1e-3}};
  using Orders = pde::Orders<2, 1>;  // up to u_xx and u_t

  attn::optim::Lbfgs lbfgs(ctx);
  for (int step = 1; step <= 6; ++step) {
    auto const closure = [&] { return pde::loss_and_gradient<Orders>(ctx, model, terms, options).total; };
    auto const report = lbfgs.step(ctx, closure);
    std::printf("step %d  loss %.2e after %d evaluations\n", step, report.loss, report.evaluations);
  }

  auto const points = pde::grid(rod, 21, 21);
  std::vector<double> exact;
  for (std::size_t i = 0; i < points.size(); ++i) {
    double const pi = 3.141592653589793;
    exact.push_back(std::sin(pi * points[i][0]) * std::exp(-k * pi * pi * points[i][1]));
  }
  auto const errors = pde::relative_errors(exact, pde::predict<Orders>(ctx, model, points, options.sequence));
  std::printf("relative error %.3f\n", errors.rmse);
}
