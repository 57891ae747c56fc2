// Long sequences: a training step of the ListOps classifier, and one layer from 1 Ki to 64 Ki tokens through landmarks
// and in full.
//
//   lra [--peer=PYTHON [--rounds=7] [--turn=0.3]] [Google Benchmark's flags]
//
// Cases are named lra/step/<activation>/<batch> and lra/layer/<nystrom|full>_<activation>/<tokens>. A step is forward,
// cross-entropy, backward and AdamW of the published model on generated ListOps sequences, dropout included; a layer is
// forward and backward of one sequence without hidden tokens. Counters: sequences/s, tokens/s, and MB, all that the
// workspace took.
#include "attn/activation/activation.hpp"
#include "attn/data/listops.hpp"
#include "attn/data/sequence_batches.hpp"
#include "attn/models/sequence_classifier.hpp"
#include "attn/nn/loss.hpp"
#include "attn/optim/one_cycle.hpp"

#include "peak.hpp"
#include "peers.hpp"

namespace {

using attn::Index;
using bench::Exec;
using Context = attn::nn::Context<Exec>;
using Memory = Context::MemorySpace;

constexpr std::size_t batch_size = 32;

template <class A>
void step(benchmark::State& state, std::string const& name, attn::data::Sequences const& data, bench::Peers& peers) {
  Context ctx(1);
  attn::models::SequenceClassifier<attn::nn::NystromAttention<A>> const model(
      ctx, {.vocabulary = 32, .positions = 2048, .length = 2048, .classes = 10});
  attn::optim::AdamW adamw(ctx, {.learning_rate = 1e-4, .epsilon = 1e-6});
  attn::data::SequenceStream stream(data, batch_size, {.seed = 1});
  attn::data::SequenceInput<Memory> input;
  auto const train = [&] {
    ctx.begin_step();
    input.load(ctx.exec, stream.next());
    ctx.parameters.zero_gradients(ctx.exec);
    auto [logits, tape] = model.forward(ctx, input.sequences, input.ids);
    auto [loss, d_logits] = attn::nn::cross_entropy(ctx, logits, input.labels);
    model.backward(ctx, std::move(tape), d_logits);
    adamw.step(ctx);
    ctx.exec.fence();
    ++ctx.step;
  };
  for (int i = 0; i < 2; ++i) train();  // takes the memory
  for (auto _ : state) train();
  state.counters["sequences/s"] =
      benchmark::Counter(double(batch_size) * double(state.iterations()), benchmark::Counter::kIsRate);
  state.counters["MB"] = double(ctx.workspace.capacity()) * 1e-6;
  peers.compare(name, bench::by_clock(train));
}

/// One sequence of n tokens, all visible.
struct OneSequence {
  explicit OneSequence(Index n)
      : offsets("offsets", 2), sequence_of("sequence_of", std::size_t(n)), position_of("position_of", std::size_t(n)) {
    auto const host_offsets = Kokkos::create_mirror_view(offsets);
    auto const positions = Kokkos::create_mirror_view(position_of);
    host_offsets(1) = static_cast<int>(n);
    for (Index i = 0; i < n; ++i) positions(i) = static_cast<int>(i);
    Kokkos::deep_copy(offsets, host_offsets);
    Kokkos::deep_copy(position_of, positions);
    auto const tensor = [](auto const& v) {
      return attn::Tensor<int const, 1, Memory>(v.data(), {Index(v.extent(0))});
    };
    sequences = {n, tensor(offsets), tensor(sequence_of), tensor(position_of)};
  }
  Kokkos::View<int*, Memory> offsets, sequence_of, position_of;
  attn::nn::PackedSequences<Memory> sequences;
};

template <class Core>
void layer(benchmark::State& state) {
  Index const n = state.range(0), width = 64;
  Context ctx(1);
  attn::nn::SequenceBlock<Core> const block(ctx / "layer",
                                            {.hidden = 128, .attention = {.width = width, .heads = 2, .tokens = n}});
  OneSequence const one(n);
  attn::nn::WithSequences const packed(ctx, {.packed = one.sequences});
  auto const run = [&] {
    ctx.begin_step();
    auto const x = ctx.tensor(Index(1), n, width);
    Kokkos::deep_copy(ctx.exec, x.view(), 0.5f);
    auto [y, tape] = block.forward(ctx, attn::nn::ConstTensorOf<Context, 3>(x));
    block.backward_in_place(ctx, std::move(tape), y);
    ctx.exec.fence();
  };
  run();  // takes the memory
  for (auto _ : state) run();
  state.counters["tokens/s"] = benchmark::Counter(double(n) * double(state.iterations()), benchmark::Counter::kIsRate);
  state.counters["MB"] = double(ctx.workspace.capacity()) * 1e-6;
}

template <class Core>
void add_layer(std::string const& name) {
  for (Index n = 1024; n <= 65536; n *= 4) {
    benchmark::RegisterBenchmark(("lra/layer/" + name).c_str(), layer<Core>)
        ->Arg(n)
        ->UseRealTime()
        ->MinTime(0.3)
        ->Unit(benchmark::kMillisecond);
  }
}

}  // namespace

int main(int argc, char** argv) {
  bench::Peers peers(argc, argv, "lra.py");
  Kokkos::ScopeGuard const kokkos(argc, argv);
  peers.use({"--threads", std::to_string(Exec().concurrency())});
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  bench::describe_run(bench::fma_peak(), bench::gemm_peak());
  attn::data::Sequences const data = attn::data::generate_listops(256, {.seed = 1});
  using Poly3 = attn::Poly<3, attn::DynamicScale>;
  auto const add_step = [&](std::string const& activation, auto run) {
    std::string const name = "lra/step/" + activation + "/" + std::to_string(batch_size);
    benchmark::RegisterBenchmark(name.c_str(),
                                 [=, &data, &peers](benchmark::State& state) { run(state, name, data, peers); })
        ->UseRealTime()
        ->MinTime(2)
        ->Unit(benchmark::kMillisecond);
  };
  add_step("softmax", step<attn::Softmax>);
  add_step("poly3_dynamic", step<Poly3>);
  add_layer<attn::nn::NystromAttention<attn::Softmax>>("nystrom_softmax");
  add_layer<attn::nn::NystromAttention<Poly3>>("nystrom_poly3_dynamic");
  add_layer<attn::nn::SequenceAttention<attn::Softmax>>("full_softmax");
  add_layer<attn::nn::SequenceAttention<Poly3>>("full_poly3_dynamic");
  benchmark::RunSpecifiedBenchmarks();
  peers.print();
  return 0;
}
