#include "attn/activation/softmax.hpp"
#include "attn/attention/any_activation.hpp"
#include "attn/nn/attention.hpp"
#include "attn/testing/check_module.hpp"

#include "nn/packed_batch.hpp"
#include "support.hpp"

namespace {

using namespace attn;
using attn::testing::on_host;
using attn_test::Exec;
using nn::FullAttention;
using Memory = Exec::memory_space;
template <class T>
using Ctx = nn::Context<Exec, T>;
template <class Projections, class M = Full>
using With = nn::Attention<Projections, FullAttention<Softmax, M>>;

template <class Projections>
void expect_module(char const* name) {
  Ctx<double> self, cross;
  With<Projections> const attention(self / "attn", {.width = 6, .heads = 2});
  EXPECT_SOUND(attn::testing::check_module(self, attention, {2, 5, 6}).about(name));
  With<Projections> const decoder(cross / "attn", {.width = 6, .heads = 2, .qkv_bias = false});
  nn::Cross<double, Memory> const like{{nullptr, {2, 3, 6}}, {nullptr, {2, 5, 6}}};
  EXPECT_SOUND(attn::testing::check_module(cross, decoder, like).about(name));
}

TEST(Attention, IsAModuleWithEachProjectionsToItselfAndToAMemory) {
  expect_module<nn::FusedQkv>("FusedQkv");
  expect_module<nn::PackedProjections>("PackedProjections");
  expect_module<nn::ThreeMatrices>("ThreeMatrices");
}

TEST(Attention, OfTheFirstTokenToAllIsTheFirstTokenOfAll) {
  Ctx<double> ctx(1);
  With<nn::FusedQkv> const attention(ctx / "attn", {.width = 8, .heads = 2, .initial = nn::normal(0.6)});
  auto const x = attn_test::random_array<double, 3>({1, 5, 8}, 1);
  auto const all = on_host(attention.forward(ctx, x.tensor()).value);
  nn::Cross<double const, Memory> const inputs{x.tensor().slice(1, 0, 1), x.tensor()};
  auto const first = on_host(attention.forward(ctx, inputs).value);
  EXPECT_SOUND(attn::testing::allclose(first, std::vector<double>(all.begin(), all.begin() + 8), 1e-13));
}

TEST(Attention, InNumbersOfTwoBytesIsNearThatOfFloats) {
  Ctx<float> ctx(1);
  With<nn::PackedProjections> const attention(ctx / "attn", {.width = 16, .heads = 2});
  Ctx<BFloat16> narrow(ctx);
  auto const x = attn_test::random_array<float, 3>({2, 7, 16}, 1);
  auto const exact = on_host(attention.forward(ctx, x.tensor()).value);
  auto const rounded = nn::converted<BFloat16>(narrow, nn::ConstTensorOf<Ctx<float>, 3>(x.tensor()));
  auto const got = on_host(attention.forward(narrow, rounded).value);
  for (std::size_t i = 0; i < exact.size(); ++i) EXPECT_NEAR(float(got[i]), exact[i], 0.02f);
}

TEST(Attention, OfAnActivationWithKernelsForFloatsAlone_ComputesNumbersOfTwoBytesInCopies) {
  using Any = BasicAnyActivation<AttentionCall<Exec>>;
  Ctx<float> ctx(1);
  nn::Attention<nn::FusedQkv, FullAttention<Any>> const attention(ctx / "attn",
                                                                  {.width = 16, .heads = 2, .activation = Softmax{}});
  Ctx<BFloat16> narrow(ctx);
  auto const x = attn_test::random_array<float, 3>({2, 7, 16}, 1);
  auto const run = [&](auto& typed) {
    using T = typename std::remove_reference_t<decltype(typed)>::Scalar;
    auto [y, tape] = attention.forward(typed, nn::converted<T>(ctx, nn::ConstTensorOf<Ctx<float>, 3>(x.tensor())));
    return std::pair(on_host(y), on_host(attention.backward(typed, std::move(tape), y)));
  };
  auto const want = run(ctx);
  auto const got = run(narrow);
  for (std::size_t i = 0; i < want.first.size(); ++i) {
    EXPECT_NEAR(float(got.first[i]), want.first[i], 0.02f);
    EXPECT_NEAR(float(got.second[i]), want.second[i], 0.02f);
  }
}

}  // namespace
