// On a GPU: cuBLAS adds biases, a training step waits for nothing and copies nothing, in fp32 and in bf16, and a CUDA
// graph captures all of it. Compiled wherever nvcc is, run where Kokkos has CUDA.
#include "attn/activation/activation.hpp"
#include "attn/models/vit.hpp"
#include "attn/nn/loss.hpp"
#include "attn/optim/adamw.hpp"
#include "attn/optim/clip.hpp"
#include "attn/optim/ema.hpp"
#include "attn/testing/allclose.hpp"

#include <gtest/gtest.h>

#include <concepts>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "graph.hpp"
#include "views.hpp"

namespace attn_cuda {
namespace device {

using attn::Index;
using Exec = Kokkos::Cuda;

/// A training step of a small vision transformer.
struct Step {
  attn::nn::Context<Exec> ctx;
  attn::models::Vit<attn::models::VitBlock<attn::Poly<3, attn::DynamicScale>>> model;
  attn::optim::AdamW<float, Exec::memory_space> adamw;
  attn::optim::GradientClip<float, Exec::memory_space> clip{1};
  attn::optim::Ema<float, Exec::memory_space> ema;
  View<float> images = normal_view<float>(3, 32, 32, 9);
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
                    .dropout = 0.1,
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
  auto const x = normal_view<X>(1, 5, 49, 1);
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

/// The numbers of steps, by which dropout and stochastic depth draw, and the rate lie in memory; the rate gets there by
/// a launch of its own.
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
