// Convolutions of feature maps (B, H, W, C), float, without a bias, at the sizes of ResNet-50, XCiT's stem, and one
// filter for each channel.
//
//   convolution [--peer=PYTHON [--rounds=7] [--turn=0.3]] [Google Benchmark's flags]
//
// Cases are named convolution/<pass>/<batch>/<height and width>/<inputs>/<outputs>/<kernel>/<stride>/<groups>; padding
// is half the kernel. Passes: forward; step, which also computes the gradients of maps and weights; and these alone
// (input_gradient, weight_gradient). Counters: GFLOP/s, and the fraction of the FMA peak measured in the same run. The
// peer is the fastest of PyTorch's eager and compiled calls on maps in its default and in its channels_last order.
#include "attn/nn/convolution.hpp"

#include "peak.hpp"
#include "peers.hpp"

namespace {

using attn::Index;
using bench::Exec;
using Context = attn::nn::Context<Exec>;
using attn::nn::Convolution;

struct Case {
  Index batch, size, inputs, outputs, kernel, stride, groups;

  std::string sizes() const {
    std::string text;
    for (Index const n : {batch, size, inputs, outputs, kernel, stride, groups}) {
      text += '/';
      text += std::to_string(n);
    }
    return text;
  }
  Index output() const { return (size + 2 * (kernel / 2) - kernel) / stride + 1; }
  double flops() const {
    return 2.0 * double(batch * output() * output() * outputs * (inputs / groups) * kernel * kernel);
  }
};

std::vector<Case> const cases = {
    {32, 56, 64, 64, 3, 1, 1},     {32, 28, 128, 128, 3, 1, 1}, {32, 14, 256, 256, 3, 1, 1},
    {32, 7, 512, 512, 3, 1, 1},    {32, 56, 128, 128, 3, 2, 1}, {32, 28, 256, 256, 3, 2, 1},
    {32, 14, 512, 512, 3, 2, 1},   {32, 224, 3, 64, 7, 2, 1},   {32, 56, 64, 256, 1, 1, 1},
    {32, 14, 1024, 256, 1, 1, 1},  {32, 56, 256, 512, 1, 2, 1}, {32, 112, 24, 48, 3, 2, 1},
    {32, 14, 384, 384, 3, 1, 384}, {32, 56, 96, 96, 7, 1, 96},
};

enum class Pass { forward, step, input_gradient, weight_gradient };
char const* const names[] = {"forward", "step", "input_gradient", "weight_gradient"};

void convolution(benchmark::State& state, std::string const& name, Case const& c, Pass pass, double peak,
                 bench::Peers& peers) {
  Context ctx(1);
  Convolution const layer(ctx / "c", {.inputs = c.inputs,
                                      .outputs = c.outputs,
                                      .kernel = c.kernel,
                                      .stride = c.stride,
                                      .padding = c.kernel / 2,
                                      .groups = c.groups,
                                      .bias = false});
  using Maps = Kokkos::View<float****, Kokkos::LayoutRight, Exec>;
  Maps const x("x", c.batch, c.size, c.size, c.inputs), d_y("d_y", c.batch, c.output(), c.output(), c.outputs);
  bench::fill_at_random(ctx.exec, x, 1);
  bench::fill_at_random(ctx.exec, d_y, 2);
  attn::nn::Window const window{c.kernel, c.stride, c.kernel / 2, 1};
  attn::nn::detail::ConvolutionShape const shape{
      c.batch, c.inputs, c.outputs, c.groups, {window, c.size, Index(c.output())}};
  ctx.parameters.zero_gradients(ctx.exec);
  auto const& weight = ctx.parameters.entry("c.weight");
  auto const call = [&] {
    ctx.begin_step();
    attn::Tensor<float, 4> const maps(x);
    if (pass == Pass::input_gradient) {
      auto const d_x = ctx.tensor(maps.extents());
      attn::nn::detail::pull_back(ctx, shape, d_y.data(), ctx.parameters.value(weight).data(), d_x.data());
    } else if (pass == Pass::weight_gradient) {
      attn::nn::detail::add_weight_gradient(ctx, shape, x.data(), d_y.data(), ctx.parameters.gradient(weight).data());
    } else {
      auto [y, tape] = layer.forward(ctx, maps);
      if (pass == Pass::step) layer.backward(ctx, std::move(tape), attn::Tensor<float, 4>(d_y));
    }
    ctx.exec.fence();
  };
  call();  // takes the memory, and makes machine code
  for (auto _ : state) call();
  double const flops = (pass == Pass::step ? 3 : 1) * c.flops() * double(state.iterations()) * 1e-9;
  state.counters["GFLOP/s"] = benchmark::Counter(flops, benchmark::Counter::kIsRate);
  state.counters["of_peak"] = benchmark::Counter(flops / peak, benchmark::Counter::kIsRate);
  peers.compare(name, bench::by_clock(call));
}

}  // namespace

int main(int argc, char** argv) {
  bench::Peers peers(argc, argv, "convolution.py");
  Kokkos::ScopeGuard const kokkos(argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  peers.use({"--threads", std::to_string(Exec().concurrency())});
  double const peak = bench::fma_peak();
  bench::describe_run(peak, bench::gemm_peak<float>());
  for (Case const& c : cases) {
    for (Pass const pass : {Pass::forward, Pass::step, Pass::input_gradient, Pass::weight_gradient}) {
      std::string name = "convolution/";
      name += names[int(pass)];
      name += c.sizes();
      benchmark::RegisterBenchmark(
          name.c_str(), [=, &c, &peers](benchmark::State& state) { convolution(state, name, c, pass, peak, peers); })
          ->UseRealTime()
          ->Unit(benchmark::kMillisecond);
    }
  }
  benchmark::RunSpecifiedBenchmarks();
  peers.print();
  return 0;
}
