#include "attn/nn/branches.hpp"
#include "attn/nn/function.hpp"
#include "attn/nn/linear.hpp"
#include "attn/nn/sequential.hpp"
#include "attn/nn/token_embedding.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using namespace attn::nn;
using attn::nn::Identity;
using attn::testing::check_module;
using Ctx = Context<attn_test::Exec, double>;

Linear linear(Builder const& builder, Index inputs, Index outputs) {
  return Linear(builder, {.inputs = inputs, .outputs = outputs});
}

std::vector<double> numbers(auto const& tensor) { return attn::testing::detail::host_numbers(tensor); }

TEST(Sum, IsAModuleOfModules) {
  Ctx ctx;
  Sum const net{linear(ctx / "0", 3, 3), Identity(),
                Sequential{linear(ctx / "1", 3, 7), Pointwise<Tanh>(), linear(ctx / "2", 7, 3)}};
  EXPECT_SOUND(check_module(ctx, net, {2, 5, 3}));
  EXPECT_EQ(ctx.parameters.entries().back().name, "2.bias");
}

TEST(Sum, AddsWhatItsModulesReturn) {
  Ctx ctx;
  attn_test::Array<double, 2> const x({2, 2}, {1, 2, 3, 4});
  EXPECT_EQ(numbers(Sum{Identity(), Identity(), Identity()}.forward(ctx, x.tensor()).value),
            (std::vector<double>{3, 6, 9, 12}));
  EXPECT_EQ(numbers(Sum{Identity()}.forward(ctx, x.tensor()).value), (std::vector<double>{1, 2, 3, 4}));
}

TEST(Concatenation, IsAModuleOfModules) {
  Ctx ctx;
  Concatenation const net{linear(ctx / "0", 3, 2), Identity(), Sequential{linear(ctx / "1", 3, 5), Pointwise<Tanh>()}};
  EXPECT_SOUND(check_module(ctx, net, {2, 5, 3}));
  EXPECT_SOUND(check_module(ctx, Sequential{net, linear(ctx / "2", 10, 1)}, {4, 3}));
}

TEST(Concatenation, PutsOutputsSideBySide) {
  Ctx ctx;
  attn_test::Array<double, 2> const x({2, 2}, {1, 2, 3, 4});
  EXPECT_EQ(numbers(Concatenation{Identity(), Sum{Identity(), Identity()}}.forward(ctx, x.tensor()).value),
            (std::vector<double>{1, 2, 2, 4, 3, 4, 6, 8}));
}

TEST(Branches, MayStandBehindOtherModules) {
  Ctx ctx;
  Sequential const net{linear(ctx / "0", 3, 4), Sum{Identity(), linear(ctx / "1", 4, 4)},
                       Concatenation{Identity(), linear(ctx / "2", 4, 2)}, linear(ctx / "3", 6, 1)};
  EXPECT_SOUND(check_module(ctx, net, {5, 3}));
}

TEST(Branches, OfWordsHaveNoGradientOfTheirInput) {
  Ctx ctx;
  TokenEmbedding const a(ctx / "a", {.vocabulary = 5, .width = 2}), b(ctx / "b", {.vocabulary = 5, .width = 2});
  Kokkos::View<int**, Kokkos::LayoutRight, Ctx::MemorySpace> const words("words", 2, 3);
  Kokkos::deep_copy(words, 4);
  auto const run = [&](auto const& module, Index width) {
    ctx.begin_step();
    ctx.parameters.zero_gradients(ctx.exec);
    auto [y, tape] = module.forward(ctx, Tensor<int const, 2, Ctx::MemorySpace>(words));
    auto const ones = ctx.tensor(Index(2), Index(3), width);
    Kokkos::deep_copy(ctx.exec, ones.view(), 1.0);
    module.backward(ctx, std::move(tape), ones);
    double sum = 0;
    for (double const g : numbers(ctx.parameters.gradients())) sum += g;
    return sum;
  };
  EXPECT_EQ(run(Sum{a, b}, 2), 24) << "six words, two numbers of each, in both";
  EXPECT_EQ(run(Concatenation{a, b}, 4), 24);
}

TEST(Branches, TakeJets) {
  using Jet = attn::Jet<double, 1>;
  nn::Context<attn_test::Exec, Jet> jets(1);
  Concatenation const net{Identity(), Sum{Identity(), Identity()}};
  auto const x = jets.tensor(Index(2), Index(2));
  for (Index r = 0; r < 2; ++r) {
    for (Index c = 0; c < 2; ++c) {
      x.plane(0)(r, c) = double(2 * r + c + 1);
      x.plane(1)(r, c) = double(10 * (2 * r + c + 1));
    }
  }
  auto [y, tape] = net.forward(jets, x);
  EXPECT_EQ(numbers(y.plane(1)), (std::vector<double>{10, 20, 20, 40, 30, 40, 60, 80}));
  auto const d_x = net.backward(jets, std::move(tape), y);
  EXPECT_EQ(numbers(d_x.plane(0)), (std::vector<double>{5, 10, 15, 20}));
}

TEST(Branches, RefuseOutputsThatDoNotFit) {
  Ctx ctx;
  attn_test::Array<double, 2> const x({2, 3}, std::vector<double>(6, 1.0));
  EXPECT_EQ(attn_test::error_of([&] {
              Sum{Identity(), linear(ctx / "0", 3, 2)}.forward(ctx, x.tensor());
            }),
            "Sum: give modules whose outputs have one shape");
}

}  // namespace
