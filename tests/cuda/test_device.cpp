// On a GPU: tensor cores serve and are accurate, a training step waits for nothing and copies nothing, and CUDA graphs
// capture it. Compiled wherever nvcc is, run where Kokkos has CUDA.
#include "attn/activation/activation.hpp"
#include "attn/attention/attention.hpp"
#include "attn/attention/describe.hpp"
#include "attn/attention/reference.hpp"
#include "attn/core/random.hpp"
#include "attn/models/vit.hpp"
#include "attn/nn/loss.hpp"
#include "attn/optim/adamw.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string_view>
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

/// The relative error of `got`, and the same numbers in double.
template <class X>
std::vector<double> on_host(View<X> const& x) {
  auto const host = Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), x);
  std::vector<double> numbers;
  for (std::size_t i = 0; i < host.size(); ++i) numbers.push_back(double(float(host.data()[i])));
  return numbers;
}
template <class X>
double relative_error(View<X> const& got, std::vector<double> const& want) {
  auto const numbers = on_host(got);
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < want.size(); ++i) {
    difference += (numbers[i] - want[i]) * (numbers[i] - want[i]);
    size += want[i] * want[i];
  }
  return std::sqrt(difference / size);
}

template <class X, class Products = attn::Fp32Products, class A>
void expect_accurate(A const& a, Index tokens, Index width, double tolerance) {
  Exec const exec;
  attn::AttentionOptions<attn::Full, attn::NoNorms, Products> const options{};
  auto const q = random_view<X>(4, tokens, width, 1), k = random_view<X>(2, tokens, width, 2),
             v = random_view<X>(2, tokens, width, 3), d_out = random_view<X>(4, tokens, width, 4);
  auto const out = random_view<X>(4, tokens, width, 5), d_q = random_view<X>(4, tokens, width, 6),
             d_k = random_view<X>(2, tokens, width, 7), d_v = random_view<X>(2, tokens, width, 8);
  auto const name = attn::describe(exec, a, q, k, v, out, options);
  EXPECT_NE(name.find("tensor cores"), std::string::npos) << name << " serves heads of " << width;
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
  attn::reference::attention(a, q_, k_, v_, out_);
  attn::reference::attention_backward(a, q_, k_, v_, d_out_, d_q_, d_k_, d_v_);
  EXPECT_LT(relative_error(out, memory[4]), tolerance) << name;
  EXPECT_LT(relative_error(d_q, memory[5]), tolerance) << name;
  EXPECT_LT(relative_error(d_k, memory[6]), tolerance) << name;
  EXPECT_LT(relative_error(d_v, memory[7]), tolerance) << name;
}

TEST(Device, TensorCoresServe_AndAreAsAccurateAsPromised) {
  for (Index const tokens : {5, 49, 197}) {
    for (Index const width : {16, 64, 100}) {
      expect_accurate<Kokkos::Experimental::bhalf_t>(attn::Softmax{}, tokens, width, 1e-2);
      expect_accurate<Kokkos::Experimental::half_t>(attn::Softmax{}, tokens, width, 2e-3);
      expect_accurate<float>(attn::Softmax{}, tokens, width, 1e-5);
      expect_accurate<float, attn::Tf32Products>(attn::Softmax{}, tokens, width, 2e-3);
    }
  }
}

/// A training step of a small vision transformer.
struct Step {
  attn::nn::Context<Exec> ctx;
  attn::models::Vit<attn::models::VitBlock<attn::Poly<3, attn::DynamicScale>>> model;
  attn::optim::AdamW<float, Exec::memory_space> adamw;
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
                    .scale_per_head = true}),
        adamw(ctx) {}

  void run() {
    ctx.begin_step();
    ctx.parameters.zero_gradients(ctx.exec);
    auto [logits, tape] = model.forward(ctx, attn::nn::ConstTensorOf<attn::nn::Context<Exec>, 4>(images));
    auto [loss, d_logits] = attn::nn::cross_entropy(ctx, logits, attn::Tensor<std::int32_t const, 1>(labels));
    model.backward(ctx, std::move(tape), d_logits);
    adamw.step(ctx);
  }
};

int fences = 0, host_copies = 0, allocations = 0;

TEST(Device, AStepAfterTheFirst_WaitsForNothingCopiesNothingAndAllocatesNothing) {
  Step step{Exec()};
  step.run();
  step.run();
  Kokkos::fence();
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
  step.run();
  tools::set_callbacks(before);
  Kokkos::fence();
  EXPECT_EQ(fences, 0);
  EXPECT_EQ(host_copies, 0);
  EXPECT_EQ(allocations, 0);
}

/// Runs `work` once while the stream records, and replays what it recorded.
template <class Work>
void run_as_graph(cudaStream_t stream, Work const& work) {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t instance = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  work();
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&instance, graph, 0), cudaSuccess);
  ASSERT_EQ(cudaGraphLaunch(instance, stream), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  cudaGraphExecDestroy(instance);
  cudaGraphDestroy(graph);
}

TEST(Device, AStepReplayedFromAGraph_LeavesTheSameBits) {
  cudaStream_t stream;
  ASSERT_EQ(cudaStreamCreate(&stream), cudaSuccess);
  {
    auto const losses_of = [&](bool as_graph) {
      Step step{Exec(stream)};
      step.run();  // takes the memory, and cuBLAS' handle
      step.ctx.exec.fence();
      if (as_graph) {
        run_as_graph(stream, [&] { step.run(); });
      } else {
        step.run();
        step.ctx.exec.fence();
      }
      auto const values = step.ctx.parameters.values();
      return Kokkos::create_mirror_view_and_copy(Kokkos::HostSpace(), values.view());
    };
    auto const eager = losses_of(false), replayed = losses_of(true);
    ASSERT_EQ(eager.extent(0), replayed.extent(0));
    for (std::size_t i = 0; i < eager.extent(0); ++i) ASSERT_EQ(eager(i), replayed(i)) << "parameter " << i;
  }
  cudaStreamDestroy(stream);
}

}  // namespace device
}  // namespace attn_cuda
