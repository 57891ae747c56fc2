#include "attn/nn/sequence_pooling.hpp"
#include "attn/testing/check_module.hpp"

#include "nn/packed_batch.hpp"
#include "support.hpp"

namespace {

using namespace attn;
using attn::testing::PackedBatch;
using Ctx = nn::Context<attn_test::Exec, double>;

/// Both functions as a module.
struct Pool {
  nn::PackedSequences<attn_test::Memory> sequences;
  struct Tape {};
  nn::Forward<nn::TensorOf<Ctx, 2>, Tape> forward(Ctx& ctx, nn::ConstTensorOf<Ctx, 2> const& x) const {
    return {nn::pool_sequences(ctx, sequences, x), {}};
  }
  nn::TensorOf<Ctx, 2> backward(Ctx& ctx, Tape&&, nn::ConstTensorOf<Ctx, 2> const& d_y) const {
    return nn::unpool_sequences(ctx, sequences, d_y);
  }
};

TEST(SequencePooling, IsAModule) {
  PackedBatch const batch({{1, 0, 1}, {0, 0, 0}, {0, 1, 1}}, 3);
  Ctx ctx;
  EXPECT_SOUND(attn::testing::check_module(ctx, Pool{batch.sequences}, nn::ConstTensorOf<Ctx, 2>(nullptr, {4, 17})));
}

TEST(SequencePooling, CountsHiddenTokensAsZeros) {
  PackedBatch const batch({{1, 0, 1, 0}, {0, 0, 0, 0}, {1, 1, 1, 1}}, 4);
  Ctx ctx;
  attn_test::Array<double, 2> const x({6, 1}, {2, 6, 1, 2, 3, 6});
  EXPECT_EQ(attn::testing::detail::host_numbers(nn::pool_sequences(ctx, batch.sequences, x.tensor())),
            (std::vector<double>{2, 0, 3}));
}

}  // namespace
