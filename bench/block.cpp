// The operations of a training step beside matrix products and attention: LayerNorm, GELU, biases, residuals, AdamW,
// softmax cross-entropy. Each beside its two limits, measured in the same run: a loop that reads and writes as many
// numbers of as many arrays and computes nothing, and the FMA peak for its arithmetic.
//
//   block [Google Benchmark's flags]
//
// Cases are named block/<operation>/<rows>/<width>. Counters, of the best call: best_ms, GB/s (what a call must read
// and write), of_memory and of_arithmetic, the shares of the two limits; the larger one binds. Arithmetic counts
// instructions on packs, as the source has them: a division or square root as the 8 that this machine's divider takes,
// any other as one; the limit starts one a cycle, as the FMA peak does.
#include "attn/core/random.hpp"
#include "attn/nn/function.hpp"
#include "attn/nn/layer_norm.hpp"
#include "attn/nn/loss.hpp"
#include "attn/nn/mlp.hpp"
#include "attn/optim/adamw.hpp"

#include <map>
#include <tuple>

#include "peak.hpp"

namespace {

using attn::Index;
using bench::Exec;
using Host = Kokkos::DefaultHostExecutionSpace;
using Context = attn::nn::Context<Exec>;
using Numbers = Kokkos::View<float*, Exec>;

double fma_rate = 0;

/// What one call of an operation needs for each of its numbers.
struct Needs {
  int reads, writes;
  double instructions;
};

/// Seconds of a loop over `reads` arrays of `numbers` into `writes` arrays, the last ones of them in place.
double memory_seconds(Needs const& needs, int in_place, Index numbers) {
  static std::map<std::tuple<int, int, int, Index>, double> known;
  auto const [at, is_new] = known.try_emplace({needs.reads, needs.writes, in_place, numbers}, 0.0);
  if (!is_new) return at->second;
  using Pack = attn::Pack<float>;
  int const arrays = needs.reads + needs.writes - in_place;
  Index const padded = (numbers + 15) / 16 * 16;
  Numbers const storage("bench::storage", std::size_t(arrays * padded));
  float* const data = storage.data();
  int const threads = Host().concurrency(), reads = needs.reads, first_written = arrays - needs.writes;
  auto const work = [&] {
    Kokkos::parallel_for("bench::memory", Kokkos::RangePolicy<Host>(0, threads, Kokkos::ChunkSize(1)), [=](int t) {
      Index const packs = padded / Pack::width;
      for (Index p = packs * t / threads; p < packs * (t + 1) / threads; ++p) {
        Pack total(0.0f);
        for (int r = 0; r < reads; ++r) total += Pack::load(data + r * padded + p * Pack::width);
        for (int w = first_written; w < arrays; ++w) total.store(data + w * padded + p * Pack::width);
      }
    });
    Host().fence();
  };
  return at->second = bench::best_seconds(work);
}

using Matrix = Kokkos::View<float**, Kokkos::LayoutRight, Exec>;

Matrix random_matrix(Index rows, Index width, std::uint64_t stream) {
  Matrix const x("bench::matrix", std::size_t(rows), std::size_t(width));
  auto const host = Kokkos::create_mirror_view(x);
  for (std::size_t i = 0; i < host.size(); ++i) host.data()[i] = attn::normal<float>({.seed = 1, .stream = stream}, i);
  Kokkos::deep_copy(x, host);
  return x;
}
attn::nn::ConstTensorOf<Context, 2> tensor(Matrix const& x) { return attn::Tensor(x); }

template <class Call>
void measure(benchmark::State& state, Needs const& needs, int in_place, Index numbers, Call const& call) {
  double const memory = memory_seconds(needs, in_place, numbers);
  Exec const exec;
  double best = 1e300;
  call();  // takes the memory
  for (auto _ : state) {
    auto const start = std::chrono::steady_clock::now();
    call();
    exec.fence();
    best = std::min(best, bench::seconds_since(start));
  }
  state.counters["best_ms"] = best * 1e3;
  state.counters["GB/s"] = 4.0 * (needs.reads + needs.writes) * double(numbers) / best * 1e-9;
  state.counters["of_memory"] = memory / best;
  state.counters["of_arithmetic"] = 2 * needs.instructions * double(numbers) / best * 1e-9 / fma_rate;
}

void layer_norm_forward(benchmark::State& state, Index rows, Index width) {
  Context ctx;
  attn::nn::LayerNorm const norm(ctx / "norm", {.width = width});
  Matrix const x = random_matrix(rows, width, 1);
  measure(state, {1, 1, 7}, 0, rows * width, [&] {
    ctx.begin_step();
    norm.forward(ctx, tensor(x));
  });
}

void layer_norm_backward(benchmark::State& state, Index rows, Index width) {
  Context ctx;
  attn::nn::LayerNorm const norm(ctx / "norm", {.width = width});
  Matrix const x = random_matrix(rows, width, 1), d_y = random_matrix(rows, width, 2),
               d_x = random_matrix(rows, width, 3);
  auto const [y, tape] = norm.forward(ctx, tensor(x));
  measure(state, {3, 1, 16}, 1, rows * width, [&, tape = tape] {
    norm.backward_add(ctx, std::decay_t<decltype(tape)>(tape), tensor(d_y), attn::nn::TensorOf<Context, 2>(d_x));
  });
}

void gelu_forward(benchmark::State& state, Index rows, Index width) {
  Context ctx;
  attn::nn::Pointwise<attn::nn::Gelu> const gelu;
  Matrix const x = random_matrix(rows, width, 1);
  measure(state, {1, 2, 46}, 0, rows * width, [&] {
    ctx.begin_step();
    gelu.forward(ctx, tensor(x));
  });
}

void gelu_backward(benchmark::State& state, Index rows, Index width) {
  Context ctx;
  attn::nn::Pointwise<attn::nn::Gelu> const gelu;
  Matrix const x = random_matrix(rows, width, 1), d_y = random_matrix(rows, width, 2);
  auto const [y, tape] = gelu.forward(ctx, tensor(x));
  measure(state, {2, 1, 1}, 0, rows * width, [&, tape = tape] {
    attn::Workspace<Exec::memory_space>::Scope const scope(ctx.workspace);
    gelu.backward(ctx, std::decay_t<decltype(tape)>(tape), tensor(d_y));
  });
}

/// What the product of a residual branch ends with: y = source + (y + bias).
void bias_and_residual(benchmark::State& state, Index rows, Index width) {
  Context ctx;
  Matrix const y = random_matrix(rows, width, 1), source = random_matrix(rows, width, 2),
               bias = random_matrix(1, width, 3);
  measure(state, {2, 1, 2}, 1, rows * width, [&] {
    attn::elementwise<float>(ctx.exec, "bench::bias_and_residual", rows, width,
                             attn::nn::detail::AddBiasAndSource<float>{y.data(), bias.data(), source.data(), width});
  });
}

/// On rows x width parameters.
void adamw(benchmark::State& state, Index rows, Index width) {
  Context ctx;
  attn::nn::Linear const linear(ctx / "linear", {.inputs = width, .outputs = rows, .bias = false});
  attn::optim::AdamW optimizer(ctx, {.weight_decay = 0.05});
  measure(state, {4, 3, 25}, 3, rows * width, [&] { optimizer.step(ctx); });
}

/// On rows x width logits, with the gradient.
void cross_entropy(benchmark::State& state, Index rows, Index width) {
  Context ctx;
  Matrix const logits = random_matrix(rows, width, 1);
  Kokkos::View<std::int32_t*, Exec> const labels("bench::labels", std::size_t(rows));
  measure(state, {1, 1, 49}, 0, rows * width, [&] {
    ctx.begin_step();
    attn::nn::cross_entropy(ctx, tensor(logits),
                            attn::Tensor<std::int32_t const, 1, Exec::memory_space>(labels.data(), {rows}));
  });
}

}  // namespace

int main(int argc, char** argv) {
  Kokkos::ScopeGuard const guard(argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  fma_rate = bench::fma_peak();
  bench::describe_run(fma_rate, bench::gemm_peak());
  auto const add = [](char const* operation, auto function, Index rows, Index width) {
    std::string const name =
        std::string("block/") + operation + "/" + std::to_string(rows) + "/" + std::to_string(width);
    benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) { function(state, rows, width); })
        ->UseRealTime()
        ->Unit(benchmark::kMillisecond);
  };
  // The demo's transformer with 64 images a step, ViT-Ti/16 with 32: tokens x width.
  for (auto const& [tokens, width] : {std::pair<Index, Index>(64 * 16, 64), std::pair<Index, Index>(32 * 197, 192)}) {
    add("layer_norm", layer_norm_forward, tokens, width);
    add("layer_norm_backward", layer_norm_backward, tokens, width);
    add("gelu", gelu_forward, tokens, 4 * width);
    add("gelu_backward", gelu_backward, tokens, 4 * width);
    add("bias_and_residual", bias_and_residual, tokens, width);
  }
  add("adamw", adamw, 64, 3125);    // 0.2 million parameters
  add("adamw", adamw, 1000, 5717);  // 5.7 million
  add("cross_entropy", cross_entropy, 64, 10);
  add("cross_entropy", cross_entropy, 32, 1000);
  add("cross_entropy", cross_entropy, 4096, 1000);
  benchmark::RunSpecifiedBenchmarks();
}
