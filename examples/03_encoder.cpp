// A transformer block with trained x^3 attention learns to look something up.
#include "attn/attn.hpp"

#include <Kokkos_Core.hpp>

#include <cstdio>

// A transformer is a type built from policies.
using Attention = attn::nn::MultiHeadAttention<attn::Poly<3, attn::DynamicScale>>;
using Block = attn::nn::TransformerBlock<Attention, attn::nn::Mlp<attn::nn::Gelu>>;
using Space = Kokkos::DefaultExecutionSpace;
using Context = attn::nn::Context<Space>;

constexpr int samples = 128, tokens = 9, names = 8, values = 4, width = names + values;

/// A sequence is a list: token t > 0 names an entry and tells its value, in a random order; token 0 asks for one name.
struct MakeLists {
  Kokkos::View<float***, Kokkos::LayoutRight, Space> x;  // (samples, tokens, width), all zero
  Kokkos::View<std::int32_t*, Space> answers;            // (samples)
  attn::RandomKey key;

  ATTN_FUNCTION void operator()(int b) const {
    auto const draw = [&](int i, int below) { return int(attn::random_bits(key, std::uint64_t(b * 64 + i)) % below); };
    int order[names];
    for (int i = 0; i < names; ++i) {  // a random permutation: each name goes to a random place among those before
      int const place = draw(i, i + 1);
      order[i] = order[place];
      order[place] = i;
    }
    int const asked = draw(20, names);
    x(b, 0, asked) = 1;
    for (int i = 0; i < names; ++i) {
      int const value = draw(30 + i, values);
      x(b, i + 1, order[i]) = 1;
      x(b, i + 1, names + value) = 1;
      if (order[i] == asked) answers(b) = value;
    }
  }
};

int main(int argc, char** argv) {
  attn::io::limit_spinning(argv);  // the steps are small
  Kokkos::ScopeGuard const kokkos(argc, argv);
  Context ctx(/*seed=*/1);
  attn::nn::Sequential const model{Block(ctx / "block", {.width = width,
                                                         .heads = 1,
                                                         .hidden = 4 * width,
                                                         .tokens = tokens,
                                                         .initial = attn::nn::truncated_normal(0.3)}),
                                   attn::nn::Pooling(attn::nn::Pooled::class_token),
                                   attn::nn::Linear(ctx / "head", {.inputs = width, .outputs = values})};
  attn::optim::AdamW optimizer(ctx, {.learning_rate = 5e-3});
  std::printf("%d trained numbers in %d parameters\n", int(ctx.parameters.count()),
              int(ctx.parameters.entries().size()));

  Kokkos::View<float***, Kokkos::LayoutRight, Space> const x("x", samples, tokens, width);
  Kokkos::View<std::int32_t*, Space> const answers("answers", samples);
  attn::RandomKey const lists = attn::subkey(ctx.random, "lists");
  for (; ctx.step <= 400; ++ctx.step) {
    ctx.begin_step();
    Kokkos::deep_copy(ctx.exec, x, 0.0f);
    Kokkos::parallel_for("lists", Kokkos::RangePolicy<Space>(ctx.exec, 0, samples),
                         MakeLists{x, answers, attn::subkey(lists, ctx.step)});

    auto [logits, tape] = model.forward(ctx, attn::Tensor(x));  // the tape is a value: typed, used once
    auto [loss, d_logits] = attn::nn::cross_entropy(ctx, logits, attn::Tensor(answers));
    ctx.parameters.zero_gradients(ctx.exec);
    model.backward(ctx, std::move(tape), d_logits);
    optimizer.step(ctx);

    if (ctx.step % 100 == 0) {
      auto const [mean, correct] = loss.read();
      auto const& scale = ctx.parameters.entry("block.attn.activation.scale");
      std::printf("step %3d   loss %.4f   accuracy %.3f   scale of x^3 %.4f\n", int(ctx.step), mean, correct / samples,
                  ctx.parameters.host_values(scale)[0]);
    }
  }
}
