#include "attn/nn/linear.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using Ctx = nn::Context<attn_test::Exec, double>;
using Matrix = nn::ConstTensorOf<Ctx, 2>;

/// The smallest module, as attn/nn/module.hpp has it.
struct Identity {
  struct Tape {};
  template <class C, class X>
  nn::Forward<X, Tape> forward(C&, X const& x) const {
    return {x, {}};
  }
  template <class C, class D>
  D backward(C&, Tape&&, D const& d_y) const {
    return d_y;
  }
};

struct WithoutBackward {
  struct Tape {};
  template <class C, class X>
  nn::Forward<X, Tape> forward(C&, X const& x) const {
    return {x, {}};
  }
};

using Pair = std::pair<Matrix, Matrix>;
static_assert(nn::Module<Identity, Ctx, Matrix> && nn::Module<Identity, Ctx, Pair> &&
              nn::Module<nn::Linear, Ctx, Matrix>);
static_assert(!nn::Module<WithoutBackward, Ctx, Matrix> && !nn::Module<Identity, Ctx, double>);
static_assert(std::same_as<nn::OutputOf<Identity, Ctx, Pair>, Pair>);
static_assert(std::same_as<nn::TapeOf<Identity, Ctx, Matrix>, Identity::Tape>);

TEST(Module, ATapeThatWasNotKeptIsNamed) {
  Ctx ctx;
  nn::Linear const linear(ctx / "linear", {.inputs = 3, .outputs = 2});
  attn_test::Array<double, 2> const x({4, 3}), d_y({4, 2});
  ctx.training = false;
  auto [y, tape] = linear.forward(ctx, x.tensor());
  EXPECT_EQ(attn_test::error_of([&] { linear.backward(ctx, std::move(tape), d_y.tensor()); }),
            "Linear::backward: run forward with ctx.training or ctx.keep_tape switched on, and use each tape once");
}

TEST(Module, WithWidthChangesTheLastExtent) {
  EXPECT_EQ(nn::with_width(Extents<3>{2, 3, 5}, 7), (Extents<3>{2, 3, 7}));
}

}  // namespace
