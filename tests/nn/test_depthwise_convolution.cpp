#include "attn/nn/depthwise_convolution.hpp"
#include "attn/testing/check_module.hpp"

#include "nn/packed_batch.hpp"
#include "support.hpp"

namespace {

using namespace attn;
using attn::testing::PackedBatch;
using Ctx = nn::Context<attn_test::Exec, double>;
using Rows = nn::ConstTensorOf<Ctx, 2>;

/// y = add + the convolution of x, as a module of both.
struct Convolve {
  nn::DepthwiseConvolution convolution;
  nn::PackedSequences<attn_test::Memory> sequences;
  struct Tape {
    Rows x;
  };
  nn::Forward<nn::TensorOf<Ctx, 2>, Tape> forward(Ctx& ctx, std::pair<Rows, Rows> const& inputs) const {
    return {convolution.forward(ctx, sequences, inputs.first, inputs.second), {inputs.first}};
  }
  std::pair<nn::TensorOf<Ctx, 2>, Rows> backward(Ctx& ctx, Tape&& tape, Rows const& d_y) const {
    auto const d_x = ctx.tensor(tape.x.extents());
    Kokkos::deep_copy(ctx.exec, d_x.view(), 0.0);
    convolution.backward_add(ctx, sequences, tape.x, d_y, d_x);
    return {d_x, d_y};
  }
};

TEST(DepthwiseConvolution, IsAModule) {
  PackedBatch const batch({{1, 1, 0, 1, 1, 1}, {0, 0, 0, 0, 0, 0}, {0, 1, 1, 0, 0, 1}}, 6);
  for (Index const taps : {1, 3, 35}) {
    Ctx ctx;
    Convolve const module{nn::DepthwiseConvolution(ctx / "conv", {.heads = 2, .width = 3, .taps = taps}),
                          batch.sequences};
    Rows const like(nullptr, {8, 6});
    EXPECT_SOUND(attn::testing::check_module(ctx, module, std::pair(like, like)).about(std::to_string(taps)));
  }
}

TEST(DepthwiseConvolution, TakesHiddenTokensForZerosAndSequencesApart) {
  PackedBatch const batch({{1, 0, 1}, {1, 1, 0}}, 3);
  Ctx ctx;
  nn::DepthwiseConvolution const convolution(ctx, {.heads = 1, .width = 1, .taps = 3});
  std::vector<double> const weight{1, 10, 100};
  ctx.parameters.assign(ctx.parameters.entry("weight"), std::span<double const>(weight));
  attn_test::Array<double, 2> const x({4, 1}, {1, 2, 3, 4}), zero({4, 1});
  EXPECT_EQ(attn::testing::detail::host_numbers(convolution.forward(ctx, batch.sequences, x.tensor(), zero.tensor())),
            (std::vector<double>{10, 20, 30 + 400, 3 + 40}));
  EXPECT_THROW(nn::DepthwiseConvolution(ctx / "even", {.heads = 1, .width = 1, .taps = 4}), Error);
}

}  // namespace
