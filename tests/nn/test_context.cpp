#include "attn/nn/context.hpp"

#include "support.hpp"

namespace {

using Ctx = attn::nn::Context<attn_test::Exec>;

TEST(Context, BeginStepGivesBackTheMemoryOfTheStepBefore) {
  Ctx ctx;
  float* const first = ctx.tensor(3, 5).data();
  EXPECT_NE(ctx.tensor(3, 5).data(), first);
  ctx.begin_step();
  EXPECT_EQ(ctx.tensor(3, 5).data(), first);
}

TEST(Context, MakesTensorsOfItsScalarOrAnother) {
  Ctx ctx;
  static_assert(std::is_same_v<decltype(ctx.tensor(2, 3)), attn::nn::TensorOf<Ctx, 2>>);
  auto const t = ctx.tensor(attn::Extents<3>{2, 3, 4});
  EXPECT_EQ(t.size(), 24);
  EXPECT_EQ(ctx.tensor<double>(7).extent(0), 7);
}

TEST(Context, ScratchIsGivenBackOnlyWhereNoTapeIsKept) {
  for (bool const training : {true, false}) {
    for (bool const keep_tape : {true, false}) {
      Ctx ctx;
      ctx.training = training;
      ctx.keep_tape = keep_tape;
      ctx.tensor(1);
      float* inside = nullptr;
      {
        Ctx::Scratch const scratch(ctx);
        inside = ctx.tensor(1).data();
      }
      EXPECT_EQ(ctx.keeps_tape(), training || keep_tape);
      EXPECT_EQ(ctx.tensor(1).data() == inside, !ctx.keeps_tape());
    }
  }
}

TEST(Context, SeedsParametersAndNoise) {
  Ctx a(1), b(1), c(2);
  for (Ctx* ctx : {&a, &b, &c}) attn::nn::Builder(*ctx).add<1>("w", {5}, attn::nn::normal(1));
  auto const w = [](Ctx& ctx) { return ctx.parameters.host_values(ctx.parameters.entry("w")); };
  EXPECT_EQ(w(a), w(b));
  EXPECT_NE(w(a), w(c));
  EXPECT_EQ(a.random.seed, 1u);
}

}  // namespace
