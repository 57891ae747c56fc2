#include "attn/nn/branches.hpp"
#include "attn/nn/function.hpp"
#include "attn/nn/linear.hpp"
#include "attn/nn/sequential.hpp"
#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using namespace attn::nn;
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

TEST(Branches, RefuseOutputsThatDoNotFit) {
  Ctx ctx;
  attn_test::Array<double, 2> const x({2, 3}, std::vector<double>(6, 1.0));
  EXPECT_EQ(attn_test::error_of([&] {
              Sum{Identity(), linear(ctx / "0", 3, 2)}.forward(ctx, x.tensor());
            }),
            "Sum: give modules whose outputs have one shape");
}

}  // namespace
