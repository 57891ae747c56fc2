// One training step of a vision transformer: forward, cross-entropy, backward, AdamW.
//
//   train_step [--profile] [--peer=PYTHON [--rounds=7] [--turn=0.3]] [Google Benchmark's flags]
//
// Cases are named train_step/<activation>/<image>/<patch>/<channels>/<width>/<depth>/<heads>/<classes>/<batch>; those
// that end in /bf16 store activations in bf16 and parameters in fp32. Operations are counted as three forward passes of
// linear layers and attention. Counters: images/s, GFLOP/s, and the fraction of the rate of a square matrix product in
// the same format that was measured in the same run. --profile prints where the time of each goes. A GPU also has
// ViT-B/16, and bf16. The peers are PyTorch's eager and compiled steps.
#include "attn/activation/activation.hpp"
#include "attn/models/vit.hpp"
#include "attn/nn/loss.hpp"
#include "attn/optim/adamw.hpp"

#include "peak.hpp"
#include "peers.hpp"
#include "profile.hpp"

namespace {

using attn::Index;
using bench::Exec;
using bench::on_host;
using Context = attn::nn::Context<Exec>;

bench::Peers* peers = nullptr;
bool profiled = false;

/// Of a square product of T, measured once.
template <class T>
double peak() {
  static double const rate = bench::gemm_peak<T>();
  return rate;
}

struct Case {
  Index image, patch, channels, width, depth, heads, classes, batch;

  std::string name() const {
    std::string text;
    for (Index const n : {image, patch, channels, width, depth, heads, classes, batch}) {
      text += '/';
      text += std::to_string(n);
    }
    return text;
  }
  /// Multiply-adds of one image in a forward pass: the patches, twelve width^2 a token and layer, the two products of
  /// attention, the head.
  double multiply_adds() const {
    Index const patches = (image / patch) * (image / patch), tokens = patches + 1;
    Index const linear = patches * patch * patch * channels * width + depth * tokens * 12 * width * width;
    return double(linear + depth * 2 * tokens * tokens * width + classes * width);
  }
};

Case const demo{28, 4, 1, 48, 2, 2, 10, 64};  // train_vision --demo, whose head sees a mean of the tokens
Case const tiny{224, 16, 3, 192, 12, 3, 1000, on_host ? 32 : 256};  // ViT-Ti/16
Case const base{224, 16, 3, 768, 12, 12, 1000, 128};                // ViT-B/16
std::vector<Case const*> const cases = on_host ? std::vector{&demo, &tiny} : std::vector{&demo, &tiny, &base};

/// Adds the gradients of the loss; what passes between modules is stored in the scalar of `ctx`.
template <class Ctx, class Model>
void add_gradients(Ctx& ctx, Model const& model, attn::Tensor<float const, 4> images,
                   attn::Tensor<std::int32_t const, 1> labels) {
  auto [logits, tape] = model.forward(ctx, attn::nn::converted<typename Ctx::Scalar>(ctx, images));
  auto [loss, d_logits] = attn::nn::cross_entropy(ctx, logits, labels);
  model.backward(ctx, std::move(tape), d_logits);
}

template <class T, class Activation>
void train_step(benchmark::State& state, std::string const& name, Case const& c) {
  Context ctx(1);
  attn::models::Vit<attn::models::VitBlock<Activation>> const model(ctx, {.width = c.width,
                                                                          .depth = c.depth,
                                                                          .heads = c.heads,
                                                                          .image_height = c.image,
                                                                          .image_width = c.image,
                                                                          .channels = c.channels,
                                                                          .patch_height = c.patch,
                                                                          .patch_width = c.patch,
                                                                          .classes = c.classes});
  attn::optim::AdamW adamw(ctx, {.learning_rate = 1e-3, .weight_decay = 0.05});
  Kokkos::View<float****, Kokkos::LayoutRight, Exec> const images("images", c.batch, c.channels, c.image, c.image);
  Kokkos::View<std::int32_t*, Exec> const labels("labels", c.batch);
  bench::fill_at_random(ctx.exec, images, 2);
  auto const host_labels = Kokkos::create_mirror_view(labels);
  for (Index b = 0; b < c.batch; ++b) host_labels(b) = static_cast<std::int32_t>(b % c.classes);
  Kokkos::deep_copy(labels, host_labels);

  auto const step = [&] {
    ctx.begin_step();
    ctx.parameters.zero_gradients(ctx.exec);
    if constexpr (std::same_as<T, float>) {
      add_gradients(ctx, model, images, labels);
    } else {
      attn::nn::Context<Exec, T> narrow(ctx);
      add_gradients(narrow, model, images, labels);
    }
    adamw.step(ctx);
    ctx.exec.fence();
    ++ctx.step;
  };
  step();  // takes the memory
  for (auto _ : state) step();
  double const images_done = double(c.batch) * double(state.iterations());
  double const flops = 6 * c.multiply_adds() * images_done * 1e-9;
  state.counters["images/s"] = benchmark::Counter(images_done, benchmark::Counter::kIsRate);
  state.counters["GFLOP/s"] = benchmark::Counter(flops, benchmark::Counter::kIsRate);
  state.counters["of_gemm"] = benchmark::Counter(flops / peak<T>(), benchmark::Counter::kIsRate);
  peers->compare(name, bench::by_clock(step));
  static std::set<std::string> done;
  if (!profiled || !done.insert(name).second) return;
  int const steps = c.batch * c.image > 5000 ? 3 : 100;
  bench::Profile profile;
  for (int i = 0; i < steps; ++i) step();
  profile.print(name, steps);
}

template <class T, class Activation>
void add(std::string const& name, Case const& c) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [&c, name](benchmark::State& state) { train_step<T, Activation>(state, name, c); })
      ->UseRealTime()
      ->MinTime(2)
      ->Unit(benchmark::kMillisecond);
}

template <class Activation>
void add(std::string const& activation, Case const& c) {
  std::string const name = "train_step/" + activation + c.name();
  add<float, Activation>(name, c);
  if constexpr (!on_host) add<attn::BFloat16, Activation>(name + "/bf16", c);
}

}  // namespace

int main(int argc, char** argv) {
  bench::Peers with(argc, argv, "train_step.py");
  profiled = argc > 1 && std::string_view(argv[1]) == "--profile";
  if (profiled) argv[1] = argv[0], ++argv, --argc;
  Kokkos::ScopeGuard const kokkos(argc, argv);
  with.use(on_host ? std::vector<std::string>{"--threads", std::to_string(Exec().concurrency())}
                   : std::vector<std::string>{"--device", "cuda"});
  peers = &with;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  bench::describe_run(bench::fma_peak(), peak<float>());
  for (Case const* c : cases) {
    add<attn::Softmax>("softmax", *c);
    add<attn::Poly<3>>("poly3", *c);
    add<attn::Poly<3, attn::DynamicScale>>("poly3_dynamic", *c);
  }
  benchmark::RunSpecifiedBenchmarks();
  peers->print();
  return 0;
}
