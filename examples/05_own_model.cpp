// A model of one's own: a convolution, batch norm, attention in shifted windows and a class head, from data to weights
// on disk and back.
#include "attn/attn.hpp"
#include "attn/data/batches.hpp"
#include "attn/data/on_device.hpp"
#include "attn/nn/average_pooling.hpp"
#include "attn/nn/batch_norm.hpp"
#include "attn/nn/convolution.hpp"
#include "attn/nn/window_attention.hpp"
#include "attn/train/weights.hpp"

#include <Kokkos_Core.hpp>

#include <cmath>
#include <cstdio>
#include <filesystem>

using Context = attn::nn::Context<Kokkos::DefaultExecutionSpace>;

/// Pictures that are drawn when they are asked for: two crosses on noise, and how many of them stand on edge.
struct Pairs {
  using Sample = attn::data::ImageSample<float>;

  std::size_t count;
  std::size_t size() const { return count; }
  attn::data::ImageShape shape() const { return {.channels = 1, .height = 16, .width = 16, .classes = 3}; }

  void sample(std::size_t i, attn::RandomKey, Sample& out) const {
    attn::data::Draws draws(attn::subkey({.seed = count}, i));
    for (int p = 0; p < 256; ++p) out.pixels[p] = static_cast<float>(0.2 * draws.normal());
    std::int64_t const first = draws.integer(2), second = draws.integer(2);
    draw(first, 2 + draws.integer(12), 2 + draws.integer(4), out.pixels);
    draw(second, 2 + draws.integer(12), 10 + draws.integer(4), out.pixels);
    out.label = static_cast<int>(first + second);
  }

  static void draw(std::int64_t kind, std::int64_t x, std::int64_t y, float* pixels) {  // upright, or on edge
    for (std::int64_t k = -2; k <= 2; ++k) {
      pixels[(y + k) * 16 + x + (kind == 0 ? 0 : k)] += 1;
      pixels[(y + (kind == 0 ? 0 : -k)) * 16 + x + k] += 1;
    }
  }
};

/// Images (B, 16, 16, 1) -> logits (B, 3).
struct PairNet {
  using Attention =
      attn::nn::Attention<attn::nn::FusedQkv, attn::nn::WindowAttention<attn::Poly<3, attn::DynamicScale>>>;
  using Block = attn::nn::TransformerBlock<Attention, attn::nn::Mlp<attn::nn::Gelu>>;
  attn::nn::Sequential<attn::nn::Convolution, attn::nn::BatchNorm, attn::nn::Pointwise<attn::nn::Gelu>, Block, Block,
                       attn::nn::GlobalAveragePooling, attn::nn::Linear>
      layers;

  static Block block(attn::nn::Builder const& builder, attn::Index shift) {
    return Block(builder, {.width = 32,
                           .heads = 2,
                           .hidden = 64,
                           .initial = attn::nn::truncated_normal(0.1),
                           .core = {.window = 4, .shift = shift}});
  }

  explicit PairNet(attn::nn::Builder const& builder)
      : layers{
            attn::nn::Convolution(builder / "stem" / "conv",
                                  {.inputs = 1, .outputs = 32, .kernel = 5, .stride = 2, .padding = 2, .bias = false}),
            attn::nn::BatchNorm(builder / "stem" / "norm", {.channels = 32}),
            attn::nn::Pointwise<attn::nn::Gelu>(),
            block(builder / "blocks" / 0, 0),
            block(builder / "blocks" / 1, 2),
            attn::nn::GlobalAveragePooling(),
            attn::nn::Linear(builder / "head", {.inputs = 32, .outputs = 3})} {}
};

/// The share of pictures that a model judges rightly.
double accuracy(Context& ctx, PairNet const& model) {
  ctx.training = false;  // batch norm uses the statistics that it kept
  attn::data::EvaluationBatches batches(Pairs{500}, 250);
  double right = 0;
  while (auto const* batch = batches.next()) {
    ctx.begin_step();
    auto const images = attn::data::on_device(ctx, batch->images()).template reshape<4>({250, 16, 16, 1});
    auto const logits = model.layers.forward(ctx, images).value;
    right += double(attn::nn::cross_entropy(ctx, logits, attn::data::on_device(ctx, batch->labels())).loss.correct());
  }
  ctx.training = true;
  return right / 500;
}

int main(int argc, char** argv) {
  attn::io::limit_spinning(argv);  // the steps are small
  Kokkos::ScopeGuard const kokkos(argc, argv);
  Context ctx(/*seed=*/1);
  PairNet const model(ctx);
  attn::optim::AdamW optimizer(ctx, {.learning_rate = 3e-3});
  attn::data::TrainingBatches batches(Pairs{20000}, {.batch_size = 64, .key = ctx.random});
  std::printf("%d trained numbers, %d that are kept\n", int(ctx.parameters.count()),
              int(ctx.parameters.buffer_entries().size()));

  for (; ctx.step <= 400; ++ctx.step) {
    ctx.begin_step();
    auto const& batch = batches.next();
    auto const images = attn::data::on_device(ctx, batch.images()).template reshape<4>({64, 16, 16, 1});
    auto [logits, tape] = model.layers.forward(ctx, images);
    auto [loss, d_logits] = attn::nn::cross_entropy(ctx, logits, attn::data::on_device(ctx, batch.labels()));
    ctx.parameters.zero_gradients(ctx.exec);
    model.layers.backward(ctx, std::move(tape), d_logits);
    optimizer.step(ctx);
    if (ctx.step % 100 == 0) std::printf("step %3d   loss %.4f\n", int(ctx.step), loss.mean());
  }

  auto const file = std::filesystem::temp_directory_path() / "attn_own_model.safetensors";
  attn::train::save_weights(file, ctx);
  Context again(/*seed=*/2);
  PairNet const restored(again);
  attn::train::load_weights(file, again);
  std::printf("test accuracy %.3f, of the restored model %.3f\n", accuracy(ctx, model), accuracy(again, restored));
}
