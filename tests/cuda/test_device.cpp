// On a GPU: tensor cores serve and are accurate, cuBLAS adds biases, a training step waits for nothing and copies
// nothing, in fp32 and in bf16, and a CUDA graph captures all of it. Compiled wherever nvcc is, run where Kokkos has
// CUDA.
#include "attn/activation/activation.hpp"
#include "attn/attention/attention.hpp"
#include "attn/attention/describe.hpp"
#include "attn/attention/reference.hpp"
#include "attn/core/random.hpp"
#include "attn/models/vit.hpp"
#include "attn/nn/loss.hpp"
#include "attn/optim/adamw.hpp"
#include "attn/optim/clip.hpp"
#include "attn/optim/ema.hpp"
#include "attn/testing/allclose.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <concepts>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace attn_cuda {
namespace device {

using attn::Index;
using Exec = Kokkos::Cuda;
template <class X>
using View = Kokkos::View<X****, Kokkos::LayoutRight, Exec::memory_space>;

template <class X>
View<X> random_view(Index heads, Index tokens, Index width, std::uint64_t stream) {
  View<X> const x("x", 2, heads, tokens, width);
  auto const host = Kokkos::create_mirror_view(x);
  for (std::size_t i = 0; i < host.size(); ++i)
    host.data()[i] = X(attn::normal<float>({.seed = 5, .stream = stream}, i));
  Kokkos::deep_copy(x, host);
  return x;
}

template <class X>
std::vector<double> on_host(View<X> const& x) {
  auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), x);
  std::vector<double> numbers;
  for (std::size_t i = 0; i < host.size(); ++i) numbers.push_back(double(float(host.data()[i])));
  return numbers;
}
double relative_error(std::vector<double> const& got, std::vector<double> const& want) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference += (got[i] - want[i]) * (got[i] - want[i]);
    size += want[i] * want[i];
  }
  return std::sqrt(difference / size);
}

/// One type of mask for all: a window in packed sequences of `group` tokens.
struct WindowsInGroups {
  attn::Window window;
  int group;

  ATTN_FUNCTION attn::KeyRange keys(attn::Query q) const {
    attn::KeyRange const range = window.keys(q);
    int const first = q.index / group * group, last = first + group;
    return {range.begin > first ? range.begin : first, range.end < last ? range.end : last};
  }
  ATTN_FUNCTION int length(int, int) const { return group; }
};

template <class X, class Products = attn::Fp32Products, class A>
void expect_accurate(A const& a, Index tokens, Index width, WindowsInGroups const& mask, double tolerance) {
  Exec const exec;
  attn::AttentionOptions<WindowsInGroups, attn::NoNorms, Products> const options{.mask = mask};
  auto const q = random_view<X>(4, tokens, width, 1), k = random_view<X>(2, tokens, width, 2),
             v = random_view<X>(2, tokens, width, 3), d_out = random_view<X>(4, tokens, width, 4);
  auto const out = random_view<X>(4, tokens, width, 5), d_q = random_view<X>(4, tokens, width, 6),
             d_k = random_view<X>(2, tokens, width, 7), d_v = random_view<X>(2, tokens, width, 8);
  auto const name = attn::describe(exec, a, q, k, v, out, options);
  bool const is_fp32 = std::same_as<X, float> && std::same_as<Products, attn::Fp32Products>;
  bool const has_room = exec.cuda_device_prop().sharedMemPerBlockOptin > 100 << 10 || width <= (is_fp32 ? 64 : 128);
  EXPECT_EQ(name.find("tensor cores") != std::string::npos, has_room) << name << " serves heads of " << width;
  auto const saved = attn::attention(exec, a, q, k, v, out, options);
  attn::attention_backward(exec, a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options);
  exec.fence();

  auto const wide = [](auto const& x, auto& memory) {
    memory = on_host(x);
    return attn::Tensor<double, 4, Kokkos::HostSpace>(
        memory.data(), {Index(x.extent(0)), Index(x.extent(1)), Index(x.extent(2)), Index(x.extent(3))});
  };
  std::vector<double> memory[8];
  auto const q_ = wide(q, memory[0]), k_ = wide(k, memory[1]), v_ = wide(v, memory[2]), d_out_ = wide(d_out, memory[3]),
             out_ = wide(out, memory[4]), d_q_ = wide(d_q, memory[5]), d_k_ = wide(d_k, memory[6]),
             d_v_ = wide(d_v, memory[7]);
  attn::AttentionOptions<WindowsInGroups> const exactly{.mask = mask};
  attn::reference::attention(a, q_, k_, v_, out_, exactly);
  attn::reference::attention_backward(a, q_, k_, v_, d_out_, d_q_, d_k_, d_v_, exactly);
  EXPECT_LT(relative_error(on_host(out), memory[4]), tolerance) << name;
  EXPECT_LT(relative_error(on_host(d_q), memory[5]), tolerance) << name;
  EXPECT_LT(relative_error(on_host(d_k), memory[6]), tolerance) << name;
  EXPECT_LT(relative_error(on_host(d_v), memory[7]), tolerance) << name;
}

TEST(Device, TensorCoresServe_AndAreAsAccurateAsPromised) {
  constexpr int all = 1 << 20;
  auto const expect = [](Index tokens, Index width, WindowsInGroups const& mask) {
    if (!attn::detail::cuda::has_width(width)) return;  // compiled without: ATTN_CUDA_WIDTHS
    expect_accurate<Kokkos::Experimental::bhalf_t>(attn::Softmax{}, tokens, width, mask, 1e-2);
    expect_accurate<Kokkos::Experimental::half_t>(attn::Softmax{}, tokens, width, mask, 2e-3);
    expect_accurate<float>(attn::Softmax{}, tokens, width, mask, 1e-5);
    expect_accurate<float, attn::Tf32Products>(attn::Softmax{}, tokens, width, mask, 2e-3);
  };
  for (Index const tokens : {5, 49, 197, 333}) {
    for (Index const width : {16, 64, 100, 128, 256}) expect(tokens, width, {{all, all}, int(tokens)});
  }
  for (Index const width : {64, 128}) {  // causal, windowed, packed sequences, and all of it
    for (WindowsInGroups const& mask : {WindowsInGroups{{all, 0}, 400}, WindowsInGroups{{30, 7}, 400},
                                        WindowsInGroups{{all, all}, 200}, WindowsInGroups{{70, 0}, 150}}) {
      expect(400, width, mask);
    }
  }
}

/// A training step of a small vision transformer.
struct Step {
  attn::nn::Context<Exec> ctx;
  attn::models::Vit<attn::models::VitBlock<attn::Poly<3, attn::DynamicScale>>> model;
  attn::optim::AdamW<float, Exec::memory_space> adamw;
  attn::optim::GradientClip<float, Exec::memory_space> clip{1};
  attn::optim::Ema<float, Exec::memory_space> ema;
  View<float> images = random_view<float>(3, 32, 32, 9);
  Kokkos::View<std::int32_t*, Exec> labels{"labels", 2};

  explicit Step(Exec const& exec)
      : ctx(1, exec),
        model(ctx, {.width = 64,
                    .depth = 2,
                    .heads = 2,
                    .image_height = 32,
                    .image_width = 32,
                    .channels = 3,
                    .patch_height = 8,
                    .patch_width = 8,
                    .classes = 10,
                    .stochastic_depth = 0.2,
                    .scale_per_head = true}),
        adamw(ctx),
        ema(ctx) {}

  /// With tensors of the scalar of `typed`, over the parameters of `ctx`.
  template <class Ctx>
  void add_gradients(Ctx& typed) {
    typed.begin_step();
    ctx.parameters.zero_gradients(ctx.exec);
    auto [logits, tape] = model.forward(typed, attn::nn::converted<typename Ctx::Scalar>(
                                                   typed, attn::Tensor<float const, 4, Exec::memory_space>(images)));
    auto [loss, d_logits] = attn::nn::cross_entropy(typed, logits, attn::Tensor<std::int32_t const, 1>(labels));
    model.backward(typed, std::move(tape), d_logits);
  }
  template <class Ctx>
  void run(Ctx& typed) {
    add_gradients(typed);
    clip(ctx);
    adamw.step(ctx);
    ema.update(ctx);
  }
  std::vector<double> parameters() { return attn::testing::detail::host_numbers(ctx.parameters.values()); }
};

int fences = 0, host_copies = 0, allocations = 0;

template <class Ctx>
void expect_asynchronous(Step& step, Ctx& typed) {
  step.run(typed);
  step.run(typed);
  Kokkos::fence();
  fences = host_copies = allocations = 0;
  namespace tools = Kokkos::Tools::Experimental;
  auto const before = tools::get_callbacks();
  tools::set_begin_fence_callback([](char const*, std::uint32_t, std::uint64_t*) { ++fences; });
  tools::set_begin_deep_copy_callback([](Kokkos_Profiling_SpaceHandle to, char const*, void const*,
                                         Kokkos_Profiling_SpaceHandle from, char const* source, void const*,
                                         std::uint64_t) {
    auto const is_host = [](Kokkos_Profiling_SpaceHandle const& space) {
      return std::string_view(space.name) == "Host";
    };
    if (std::string_view(source) != "Scalar" && (is_host(to) || is_host(from)))
      ++host_copies;  // filling copies nothing
  });
  tools::set_allocate_data_callback(
      [](Kokkos_Profiling_SpaceHandle, char const*, void const*, std::uint64_t) { ++allocations; });
  step.run(typed);
  tools::set_callbacks(before);
  Kokkos::fence();
  EXPECT_EQ(fences, 0);
  EXPECT_EQ(host_copies, 0);
  EXPECT_EQ(allocations, 0);
}

TEST(Device, AStepAfterTheFirst_WaitsForNothingCopiesNothingAndAllocatesNothing) {
  Step step{Exec()};
  expect_asynchronous(step, step.ctx);
  attn::nn::Context<Exec, attn::BFloat16> narrow(step.ctx);
  expect_asynchronous(step, narrow);
}

TEST(Device, AStepInBf16_HasTheGradientsOfFp32UpToRoundings) {
  Step step{Exec()};
  step.add_gradients(step.ctx);
  auto const gradients = [&] { return attn::testing::detail::host_numbers(step.ctx.parameters.gradients()); };
  auto const want = gradients();
  attn::nn::Context<Exec, attn::BFloat16> narrow(step.ctx);
  step.add_gradients(narrow);
  EXPECT_LT(relative_error(gradients(), want), 3e-2);
}

/// Products of cuBLAS, and those to which cuBLASLt adds biases, beside sums in double.
template <class X>
void expect_linear_layer(double tolerance) {
  attn::nn::Context<Exec> ctx(1);
  attn::nn::Linear const linear(ctx, {.inputs = 49, .outputs = 37, .initial_bias = attn::nn::normal(1)});
  auto const weight = ctx.parameters.host_values(ctx.parameters.entry("weight")),
             bias = ctx.parameters.host_values(ctx.parameters.entry("bias"));
  auto const x = random_view<X>(1, 5, 49, 1);
  auto const numbers = on_host(x);
  std::vector<double> want;
  for (int row = 0; row < 10; ++row) {
    for (int column = 0; column < 37; ++column) {
      double sum = bias[std::size_t(column)];
      for (int i = 0; i < 49; ++i) sum += numbers[std::size_t(row * 49 + i)] * weight[std::size_t(column * 49 + i)];
      want.push_back(sum);
    }
  }
  attn::Tensor<X const, 2, Exec::memory_space> const rows(x.data(), {10, 49});
  auto const check = [&](auto& typed) {
    auto const y = linear.forward(typed, rows).value;
    EXPECT_LT(relative_error(attn::testing::detail::host_numbers(y), want), tolerance);
  };
  if constexpr (std::same_as<X, float>) {
    check(ctx);
  } else {
    attn::nn::Context<Exec, X> narrow(ctx);
    check(narrow);
  }
}

TEST(Device, LinearLayers_AddTheirBiases) {
  expect_linear_layer<float>(1e-6);
  expect_linear_layer<attn::BFloat16>(1e-2);
  expect_linear_layer<attn::Float16>(2e-3);
}

/// What `work` puts on the stream, recorded once.
class Graph {
 public:
  template <class Work>
  Graph(cudaStream_t stream, Work const& work) : stream_(stream) {
    EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    work();
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph_), cudaSuccess);
    EXPECT_EQ(cudaGraphInstantiate(&instance_, graph_, 0), cudaSuccess);
  }
  ~Graph() {
    cudaGraphExecDestroy(instance_);
    cudaGraphDestroy(graph_);
  }
  Graph(Graph const&) = delete;
  Graph& operator=(Graph const&) = delete;

  void replay() const { EXPECT_EQ(cudaGraphLaunch(instance_, stream_), cudaSuccess); }

 private:
  cudaStream_t stream_;
  cudaGraph_t graph_ = nullptr;
  cudaGraphExec_t instance_ = nullptr;
};

/// The numbers of steps and the rate lie in memory; the rate gets there by a launch of its own.
TEST(Device, AStepReplayedFromAGraph_LeavesTheSameBitsInEveryStep) {
  cudaStream_t stream;
  ASSERT_EQ(cudaStreamCreate(&stream), cudaSuccess);
  {
    auto const trained = [&](bool as_graph) {
      Step step{Exec(stream)};
      attn::nn::StepThere step_there(step.ctx);
      attn::nn::Context<Exec, attn::BFloat16> narrow(step.ctx);
      auto const run = [&] {
        step.run(narrow);
        step_there.next(step.ctx);
      };
      run();  // takes the memory, and what cuBLAS keeps
      step.ctx.exec.fence();
      std::optional<Graph> graph;
      if (as_graph) graph.emplace(stream, run);
      for (int i = 0; i < 3; ++i) {
        step.adamw.learning_rate = 1e-3 / (1 + i);
        step.adamw.write_rates(step.ctx);
        as_graph ? graph->replay() : run();
      }
      step.ctx.exec.fence();
      return step.parameters();
    };
    EXPECT_EQ(trained(true), trained(false));
  }
  cudaStreamDestroy(stream);
}

}  // namespace device
}  // namespace attn_cuda
