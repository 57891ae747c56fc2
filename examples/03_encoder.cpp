// A transformer encoder learns whether the first token of a sequence occurs in it again.
#include "attn/attn.hpp"

#include <cstdio>

int main(int argc, char** argv) {
  attn::io::limit_spinning(argv);  // the steps are small
  Kokkos::ScopeGuard const kokkos(argc, argv);
  using namespace attn::nn;
  using Block = TransformerBlock<MultiHeadAttention<attn::Poly<3, attn::DynamicScale>>, Mlp<Gelu>>;

  Context<Kokkos::DefaultHostExecutionSpace> ctx(/*seed=*/1);
  Sequential const model{
      TokenEmbedding(ctx / "tokens", {.vocabulary = 10, .width = 32, .initial = normal(1)}),
      SinusoidalPositions(),
      Stack<Block>(ctx / "blocks", 2, {.width = 32, .heads = 4, .hidden = 64, .tokens = 8, .initial = normal(0.1)}),
      LayerNorm(ctx / "norm", {.width = 32}),
      Pooling(Pooled::mean, /*prefix=*/0),
      Linear(ctx / "head", {.inputs = 32, .outputs = 2})};
  attn::optim::AdamW optimizer(ctx, {.learning_rate = 1e-3});
  Kokkos::View<int**, Kokkos::HostSpace> const tokens("tokens", 128, 8);
  Kokkos::View<int*, Kokkos::HostSpace> const labels("labels", 128);

  for (int right = 0; ctx.step < 500;) {
    for (int b = 0; b < 128; ++b) {
      labels(b) = 0;
      for (int t = 0; t < 8; ++t) {
        tokens(b, t) = int(attn::random_bits(ctx.random, ctx.step * 1024 + b * 8 + t) % 10);
        if (t > 0 && tokens(b, t) == tokens(b, 0)) labels(b) = 1;
      }
    }
    ctx.begin_step();
    auto [logits, tape] = model.forward(ctx, attn::Tensor(tokens));
    auto [loss, d_logits] = cross_entropy(ctx, logits, attn::Tensor(labels));
    ctx.parameters.zero_gradients(ctx.exec);
    model.backward(ctx, std::move(tape), d_logits);  // follows from the parts
    optimizer.step(ctx);
    right += int(loss.correct());
    if (++ctx.step % 100 > 0) continue;
    double const scale = ctx.parameters.host_values(ctx.parameters.entry("blocks.0.attn.activation.scale"))[0];
    std::printf("accuracy %.3f, scale of x^3 %.3f\n", std::exchange(right, 0) / 12800.0, scale);
  }
}
