// One evaluation of a PINNsFormer's loss and gradient on the reference problem, convection, and on waves, which take
// second derivatives: 51 x 51 points and their edges, pseudo-sequences of 5 steps; and on a flow, which takes third
// ones: 204 measured points. Counters: seconds, the share of the arithmetic floor (matrix products of linear layers
// alone, at the rate of a large product that is measured in the same run), and the workspace.
//
//   bench/pde_step [--peer=PYTHON [--rounds=7] [--turn=0.3]] [--benchmark_filter=total]
#include "attn/activation/activation.hpp"
#include "attn/linalg/gemm.hpp"
#include "attn/models/pinnsformer.hpp"
#include "attn/pde/loss.hpp"
#include "attn/pde/navier_stokes.hpp"
#include "attn/pde/problems.hpp"

#include <benchmark/benchmark.h>

#include <iostream>

#include "peak.hpp"
#include "peers.hpp"

namespace {

using bench::Exec;
using bench::on_host;
using Ctx = attn::nn::Context<Exec, float>;
using attn::pde::Derivative;

bench::Peers* peers = nullptr;

/// Floating-point operations a second of products of the network's largest shape.
double gemm_rate() {
  static double const rate = [] {
    Exec const exec;
    using View = Kokkos::View<float**, Kokkos::LayoutRight, Exec>;
    View const a("a", 4096, 512), b("b", 512, 512), c("c", 4096, 512);
    bench::fill_at_random(exec, a, 1);
    bench::fill_at_random(exec, b, 2);
    int const products = 10;  // for one wait
    double const seconds = bench::best_seconds([&] {
      for (int i = 0; i < products; ++i)
        attn::linalg::gemm(exec, 1, attn::Tensor(a), attn::Tensor(b), 0, attn::Tensor(c));
      exec.fence();
    });
    return products * 2.0 * 4096 * 512 * 512 / seconds;
  }();
  return rate;
}

/// Multiply-adds of the linear layers for one token.
double linear_macs(attn::models::PinnsFormerConfig const& c) {
  double const width = double(c.width), hidden = double(c.hidden), head = double(c.head_hidden);
  double const layer = 4 * width * width + 2 * width * hidden + hidden * hidden;
  return double(c.inputs) * width + 2 * double(c.layers) * layer + width * head + head * head +
         head * double(c.outputs);
}

/// Planes of values and derivatives that pass the network, for 51 points.
constexpr double planes_of(attn::pde::Convection, Derivative derivative) {
  // A backward pass costs two forward ones. The grid takes both for u and its derivative along (beta, 1); by column,
  // both for u, a forward pass of u, and both for u and its derivative along the residual's slopes. The 153 points of
  // the edges take both for u.
  return (derivative == Derivative::total ? 2 * 3 : 3 + 1 + 2 * 3) * 51 + 3 * 3;
}
constexpr double planes_of(attn::pde::WaveEquation, Derivative) {
  // The grid takes both for u, u_x, u_xx, u_t and u_tt, the 153 points of the edges for u, and 51 again for u_t.
  return 5 * 3 * 51 + 3 * 3 + 2 * 3;
}
/// The equations of a flow at points where its velocities were measured, as a problem.
struct MeasuredFlow : attn::pde::NavierStokes {
  auto terms(int, int n) const {
    auto const flow = attn::pde::taylor_vortices(viscosity, 32, 21);
    return attn::pde::flow_terms(*this, attn::pde::sample_flow(flow, std::size_t(4 * n), {.seed = 0}));
  }
};
constexpr double planes_of(MeasuredFlow, Derivative) {
  // Four times 51 points take both for the 13 derivatives of the equations, and for the value and two of the
  // velocities.
  return 4 * (13 + 3) * 3;
}

template <class Problem>
attn::models::PinnsFormerConfig config_of(Problem const&) {
  return {};
}
attn::models::PinnsFormerConfig config_of(MeasuredFlow const&) { return {.inputs = 3, .outputs = 2}; }

template <class A, class Problem>
void step(benchmark::State& state, std::string const& name, Derivative derivative,
          attn::Index chunk = attn::pde::default_chunk) {
  double const rate = gemm_rate();
  Ctx ctx;
  attn::models::PinnsFormerConfig const config = config_of(Problem{});
  attn::models::PinnsFormer<A> const model(ctx, config);
  auto const terms = Problem{}.terms(51, 51);
  attn::pde::LossOptions const options{
      .sequence = {.length = 5, .step = 1e-4}, .derivative = derivative, .chunk = chunk};
  auto const evaluate = [&] {
    benchmark::DoNotOptimize(attn::pde::loss_and_gradient<typename Problem::Orders>(ctx, model, terms, options));
    Exec().fence();
  };
  for (auto _ : state) evaluate();
  double const flops = 2 * 5 * 51 * planes_of(Problem{}, derivative) * linear_macs(config);
  state.counters["Gflop_floor"] = flops / 1e9;
  state.counters["of_gemm_peak"] = benchmark::Counter(flops / rate, benchmark::Counter::kIsIterationInvariantRate);
  state.counters["gemm_Gflops"] = rate / 1e9;
  state.counters["workspace_MB"] = double(ctx.workspace.capacity()) / 1e6;
  peers->compare(name, bench::by_clock(evaluate));
}

}  // namespace

int main(int argc, char** argv) {
  bench::Peers with(argc, argv, "pde_step.py");
  peers = &with;
  Kokkos::InitializationSettings settings;
  settings.set_disable_warnings(true);
  Kokkos::ScopeGuard const kokkos(settings);
  with.use(on_host ? std::vector<std::string>{"--threads", std::to_string(Exec().concurrency())}
                   : std::vector<std::string>{"--device", "cuda"});
  auto const add = [](std::string const& name, auto run, Derivative derivative, int chunk) {
    benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& s) { run(s, name, derivative, chunk); })
        ->Unit(benchmark::kMillisecond)
        ->UseRealTime();
  };
  for (int const chunk : {32, 128}) {
    if (!on_host) break;  // a device takes all points at once
    add("total/softmax/chunk:" + std::to_string(chunk), step<attn::Softmax, attn::pde::Convection>, Derivative::total,
        chunk);
  }
  for (auto const& [suffix, derivative] :
       {std::pair("", Derivative::total), std::pair("/column", Derivative::column)}) {
    add(std::string("pde_step/softmax") + suffix, step<attn::Softmax, attn::pde::Convection>, derivative,
        attn::pde::default_chunk);
    add(std::string("pde_step/poly3") + suffix, step<attn::Poly<3>, attn::pde::Convection>, derivative,
        attn::pde::default_chunk);
  }
  add("pde_step/softmax/wave", step<attn::Softmax, attn::pde::WaveEquation>, Derivative::total,
      attn::pde::default_chunk);
  add("pde_step/softmax/flow", step<attn::Softmax, MeasuredFlow>, Derivative::total, attn::pde::default_chunk);
  benchmark::Initialize(&argc, argv);
  std::cout << Kokkos::DefaultExecutionSpace::name() << " with " << Exec().concurrency() << " threads\n";
  benchmark::RunSpecifiedBenchmarks();
  peers->print();
}
