#include "attn/testing/check_module.hpp"

#include "support.hpp"

namespace {

using namespace attn;
using attn_test::Exec;
using Ctx = nn::Context<Exec, double>;

/// y = w x with one number w, and the mistakes that a user can make.
struct Scale {
  enum Mistake { none, slope_of_input, slope_of_parameter, overwrites_gradient, changes_d_y, random };

  nn::Parameter<1> w;
  Mistake mistake = none;

  Scale(nn::Builder const& builder, Mistake m) : w(builder.add<1>("w", {1}, nn::ones())), mistake(m) {}

  template <class X>
  struct Tape {
    X x;
  };
  struct Forward {
    double const *x, *w;
    double* y;
    double noise;
    template <class Lanes>
    ATTN_FUNCTION void operator()(Lanes lanes, Index, Index i) const {
      using Value = typename Lanes::Value;
      lanes.store(y + i, lanes.load(x + i) * Value(*w + noise));
    }
  };
  struct Backward {
    double const *x, *w, *d_y;
    double *d_x, *d_w;
    Index n;
    Mistake mistake;
    ATTN_FUNCTION void operator()(Index) const {
      double sum = 0;
      for (Index i = 0; i < n; ++i) {
        sum += x[i] * d_y[i];
        d_x[i] = *w * d_y[i] * (mistake == slope_of_input ? 1.01 : 1);
      }
      if (mistake == slope_of_parameter) sum *= 1.01;
      *d_w = mistake == overwrites_gradient ? sum : *d_w + sum;
      if (mistake == changes_d_y) const_cast<double*>(d_y)[0] += 1;
    }
  };

  template <class C, class X>
  auto forward(C& ctx, X const& x) const {
    static int calls = 0;
    ++calls;
    auto const y = ctx.tensor(x.extents());
    elementwise<double>(
        ctx.exec, "scale", 1, x.size(),
        Forward{x.data(), ctx.parameters.value(w).data(), y.data(), mistake == random ? calls * 1e-3 : 0});
    return nn::Forward<X, Tape<X>>{y, {x}};
  }
  template <class C, class X, class D>
  D backward(C& ctx, Tape<X>&& tape, D const& d_y) const {
    auto const d_x = ctx.tensor(d_y.extents());
    Kokkos::parallel_for("scale", Kokkos::RangePolicy<Exec>(ctx.exec, 0, 1),
                         Backward{tape.x.data(), ctx.parameters.value(w).data(), d_y.data(), d_x.data(),
                                  ctx.parameters.gradient(w).data(), d_y.size(), mistake});
    return d_x;
  }
};

std::string faults(Scale::Mistake mistake) {
  Ctx ctx;
  Scale const scale(ctx, mistake);
  return attn::testing::check_module(ctx, scale, {2, 3}).message();
}

TEST(CheckModule, AcceptsAModule) { EXPECT_EQ(faults(Scale::none), "sound"); }

TEST(CheckModule, FindsAWrongGradient) {
  EXPECT_NE(faults(Scale::slope_of_input).find("gradient of the input: 6 of 6"), std::string::npos);
  EXPECT_NE(faults(Scale::slope_of_parameter).find("gradient of w: 1 of 1"), std::string::npos);
}

TEST(CheckModule, FindsAGradientThatDoesNotAccumulate) {
  EXPECT_NE(faults(Scale::overwrites_gradient).find("do not accumulate"), std::string::npos);
}

TEST(CheckModule, FindsAChangedGradientOfTheOutput) {
  EXPECT_NE(faults(Scale::changes_d_y).find("backward changes d_y"), std::string::npos);
}

TEST(CheckModule, FindsAForwardThatDoesNotRepeat) {
  EXPECT_NE(faults(Scale::random).find("forward twice"), std::string::npos);
}

}  // namespace
