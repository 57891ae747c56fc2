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

/// Two tensors and whole numbers in, two tensors out: y_0 = x_0 + x_1[row of], y_1 = 2 x_1; and mistakes.
struct Rows {
  Tensor<double const, 1, attn_test::Memory> fine, coarse;
  Tensor<int const, 1, attn_test::Memory> row_of;
  static constexpr auto tensors = std::tuple(&Rows::fine, &Rows::coarse, &Rows::row_of);
};

struct Spread {
  enum Mistake { none, second_gradient, too_few };
  Mistake mistake = none;

  using Vector = nn::TensorOf<Ctx, 1>;
  struct Tape {
    Rows x;
  };

  nn::Forward<std::pair<Vector, Vector>, Tape> forward(Ctx& ctx, Rows const& x) const {
    Vector const a = ctx.tensor(x.fine.extent(0)), b = ctx.tensor(x.coarse.extent(0));
    Kokkos::parallel_for(
        "spread", Kokkos::RangePolicy<Exec>(ctx.exec, 0, 1), KOKKOS_LAMBDA(Index) {
          for (Index i = 0; i < a.size(); ++i) a(i) = x.fine(i) + x.coarse(x.row_of(i));
          for (Index i = 0; i < b.size(); ++i) b(i) = 2 * x.coarse(i);
        });
    return {{a, b}, {x}};
  }

  std::vector<Vector> backward(Ctx& ctx, Tape&& tape, std::pair<Vector, Vector> const& d_y) const {
    auto const& [d_a, d_b] = d_y;
    Vector const d_fine = ctx.tensor(d_a.extents()), d_coarse = ctx.tensor(d_b.extents());
    Rows const x = tape.x;
    double const factor = mistake == second_gradient ? 3 : 2;
    Kokkos::parallel_for(
        "spread", Kokkos::RangePolicy<Exec>(ctx.exec, 0, 1), KOKKOS_LAMBDA(Index) {
          for (Index i = 0; i < d_b.size(); ++i) d_coarse(i) = factor * d_b(i);
          for (Index i = 0; i < d_a.size(); ++i) d_fine(i) = d_a(i), d_coarse(x.row_of(i)) += d_a(i);
        });
    if (mistake == too_few) return {d_fine};
    return {d_fine, d_coarse};
  }
};

std::string faults(Spread::Mistake mistake) {
  Ctx ctx;
  attn_test::Array<int, 1> const row_of({5}, {0, 1, 1, 2, 0});
  Rows const like{{nullptr, {5}}, {nullptr, {3}}, row_of};
  return attn::testing::check_module(ctx, Spread{mistake}, like).message();
}

TEST(CheckModule, AcceptsAModuleOverAnAggregate) { EXPECT_EQ(faults(Spread::none), "sound"); }

TEST(CheckModule, NamesTheTensorOfAnAggregateWhoseGradientIsWrong) {
  std::string const message = faults(Spread::second_gradient);
  EXPECT_NE(message.find("gradient of the input tensor 1: 3 of 3"), std::string::npos) << message;
  EXPECT_EQ(message.find("tensor 0"), std::string::npos) << message;
}

TEST(CheckModule, FindsAGradientThatIsMissing) {
  EXPECT_EQ(faults(Spread::too_few), "backward returns 5 numbers for an input of 8");
}

}  // namespace
