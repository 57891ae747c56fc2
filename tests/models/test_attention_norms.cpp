#include "attn/models/attention_norms.hpp"
#include "attn/nn/context.hpp"

#include <gtest/gtest.h>

namespace {

using Context = attn::nn::Context<Kokkos::DefaultExecutionSpace, double>;

TEST(AttentionNorms, AreMeansOfRootsOverSamplesAndHeads) {
  Context ctx(1);
  ctx.begin_step();
  auto const squares = ctx.tensor(2, 3);
  auto const host = Kokkos::create_mirror_view(squares.view());
  for (int b = 0; b < 2; ++b) {
    for (int h = 0; h < 3; ++h) host(b, h) = (b + 1) * (b + 1) * h * h;  // roots 0, 1, 2 and 0, 2, 4
  }
  Kokkos::deep_copy(squares.view(), host);
  EXPECT_DOUBLE_EQ(attn::models::detail::mean_root(ctx, squares), 1.5);
  EXPECT_EQ(attn::models::detail::mean_root(ctx, ctx.tensor(0, 3)), 0);
}

}  // namespace
