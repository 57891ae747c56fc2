// Dropout of weights: the textbook against finite differences and against what chance promises, and every kernel
// against the textbook.
#include "attn/attention/any_activation.hpp"
#include "attn/attention/attention.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "attention/differences.hpp"

namespace {

using namespace attn_test;
using attn::AttentionDropout;
using Head = attn::detail::HeadDropout<double, AttentionDropout>;

AttentionDropout dropout(double rate, std::uint64_t stream = 3) {
  return {.rate = rate, .key = {.seed = 2, .stream = stream}};
}

template <class Kernel, class T>
Outputs<T> run_dropped(Inputs<T> const& in, auto const& make_activation, auto const& make_mask,
                       AttentionDropout const& d = dropout(0.3)) {
  return run<Kernel>(in, make_activation, make_mask, 0, d);
}

TEST(Dropout, GradientsAreThoseOfFiniteDifferences) {
  auto const in = random_inputs<double>({.batch = 1, .heads = 2, .kv_heads = 1, .queries = 3, .keys = 9});
  expect_differences(in, [](auto const& x) { return run_dropped<Reference>(x, plain(attn::Softmax{}), full()); });
  expect_differences(in, [](auto const& x) { return run_dropped<Reference>(x, dynamic_poly<3>({0.25}), causal(5)); });
}

TEST(Dropout, LeavesTheGradientOfAScaleWhatTheOutputSays) {
  auto const in = random_inputs<double>({.queries = 20, .keys = 31});
  auto const result = run_dropped<Reference>(in, dynamic_poly<3>({0.25}), full());
  EXPECT_NEAR(result.d_parameters[0], inner(in.d_out, result.out) / 0.25, 1e-9) << "out is proportional to the scale";
}

TEST(Dropout, DropsTheFractionThatIsAsked_EachWeightByItself) {
  constexpr int n = 200, m = 300;
  for (double const rate : {0.1, 0.25, 0.9}) {
    Head const head(dropout(rate), 5), next(dropout(rate), 6), other(dropout(rate, 4), 5);
    auto const is_dropped = [](Head const& d, int i, int j) { return d(1.0, i, j) == 0; };
    int dropped = 0, both[6] = {};
    for (int i = 0; i < n; ++i) {
      for (int j = 0; j < m; ++j) {
        if (!is_dropped(head, i, j)) {
          EXPECT_NEAR(head(1.0, i, j), 1 / (1 - rate), 2e-4 / (1 - rate));
          continue;
        }
        ++dropped;
        both[0] += is_dropped(head, i, j + 1);
        both[1] += is_dropped(head, i, j + 8);
        both[2] += is_dropped(head, i, j + 16);
        both[3] += is_dropped(head, i + 1, j);
        both[4] += is_dropped(next, i, j);
        both[5] += is_dropped(other, i, j);
      }
    }
    double const total = double(n) * m;
    EXPECT_NEAR(dropped, rate * total, 5 * std::sqrt(rate * (1 - rate) * total)) << rate;
    for (int const count : both) {
      double const square = rate * rate;
      EXPECT_NEAR(count, square * total, 5 * std::sqrt(square * (1 - square) * total)) << rate;
    }
  }
}

TEST(Dropout, ExpectsWhatIsThereWithoutIt) {
  auto const in = random_inputs<double>({.batch = 1, .heads = 1, .kv_heads = 1, .queries = 4, .keys = 20});
  auto const want = run<Reference>(in, plain(attn::Softmax{}), full());
  constexpr int steps = 2000;
  std::vector<double> mean(want.out.size()), squares(want.out.size());
  for (std::uint64_t step = 0; step < steps; ++step) {
    AttentionDropout d = dropout(0.3);
    d.step = &step;
    auto const got = run<Reference, false, false, false>(in, plain(attn::Softmax{}), full(), 0, d).out;
    for (std::size_t i = 0; i < mean.size(); ++i) {
      mean[i] += got[i] / steps;
      squares[i] += got[i] * got[i] / steps;
    }
  }
  for (std::size_t i = 0; i < mean.size(); ++i) {
    double const deviation = std::sqrt((squares[i] - mean[i] * mean[i]) / steps);
    EXPECT_NEAR(mean[i], want.out[i], 5 * deviation);
    EXPECT_GT(deviation, 1e-4);
  }
}

TEST(Dropout, OfAStepInMemoryIsThatOfTheKeyOfTheStep) {
  std::uint64_t const step = 41;
  AttentionDropout there = dropout(0.3), here = dropout(0.3);
  there.step = &step;
  here.key = attn::subkey(here.key, step);
  auto const in = random_inputs<double>({.queries = 20, .keys = 31});
  EXPECT_EQ(run_dropped<Reference>(in, plain(attn::Softmax{}), full(), there).out,
            run_dropped<Reference>(in, plain(attn::Softmax{}), full(), here).out);
}

template <class Case>
class DropoutOf : public ::testing::Test {
 protected:
  using Kernel = typename Case::first_type;
  using T = typename Case::second_type;

  template <class MakeActivation, class MakeMask>
  static void expect_textbook(Shape const& s, MakeActivation const& make_activation, MakeMask const& make_mask) {
    auto const in = random_inputs<T>(s);
    auto const got = run_dropped<Kernel>(in, make_activation, make_mask);
    auto const want = run_dropped<Reference>(as_double(in), make_activation, make_mask);
    double const length = (double(s.keys) + double(s.queries) * 2 + double(s.width + s.value_width)) * 8;
    expect_agreement(got, want, length, s);
  }
  static void expect_textbook_for_both(Shape const& s, auto const& make_mask) {
    expect_textbook(s, plain(attn::Softmax{}), make_mask);
    expect_textbook(s, dynamic_poly<3>({0.25}), make_mask);
  }
};
using Cases = ::testing::Types<std::pair<Portable, double>, std::pair<Chosen, float>>;
TYPED_TEST_SUITE(DropoutOf, Cases);

TYPED_TEST(DropoutOf, AnyLength_AgreesWithTheTextbook) {
  for (Index const width : {16, 20}) {  // whole packs and others
    for (Index const n : {1, 5, 49, 130}) {
      TestFixture::expect_textbook_for_both(
          {.heads = 4, .kv_heads = 2, .queries = n, .keys = n, .width = width, .value_width = width}, full());
    }
  }
}

TYPED_TEST(DropoutOf, ManyShortSequences_AgreesWithTheTextbook) {
  for (Index const n : {3, 7}) {
    TestFixture::expect_textbook_for_both({.batch = 35, .queries = n, .keys = 7}, full());
    TestFixture::expect_textbook_for_both({.batch = 35, .queries = n, .keys = 7}, causal(1));
  }
}

TYPED_TEST(DropoutOf, TilesThatStartAnywhere_AgreesWithTheTextbook) {
  for (int const offset : {3, 9, 21}) {
    TestFixture::expect_textbook_for_both({.queries = 50, .keys = 131},
                                          window({.before = 20, .after = 40, .offset = offset}, {131, 77}));
  }
}

TYPED_TEST(DropoutOf, AHeadThatIsCutIntoParts_AgreesWithTheTextbook) {
  TestFixture::expect_textbook({.batch = 1, .heads = 1, .kv_heads = 1, .queries = 1361, .keys = 71},
                               plain(attn::Softmax{}), window({.before = 100, .after = 100}));
}

TYPED_TEST(DropoutOf, Nothing_IsNothing) {
  TestFixture::expect_textbook_for_both({.queries = 0}, full());
  TestFixture::expect_textbook_for_both({.keys = 0}, full());
  TestFixture::expect_textbook_for_both({.value_width = 0}, full());
}

TYPED_TEST(DropoutOf, ARateOfZero_IsNoDropout) {
  using Kernel = typename TestFixture::Kernel;
  for (Shape const& s : {Shape{.queries = 49, .keys = 49, .width = 16, .value_width = 16}, Shape{.batch = 35}}) {
    auto const in = random_inputs<typename TestFixture::T>(s);
    auto const with = run_dropped<Kernel>(in, plain(attn::Softmax{}), full(), AttentionDropout{});
    auto const without = run<Kernel>(in, plain(attn::Softmax{}), full());
    EXPECT_EQ(with.out, without.out);
    EXPECT_EQ(with.d_q, without.d_q);
    EXPECT_EQ(with.d_v, without.d_v);
  }
}

TEST(Dropout, GoesWithABias_AndNormsAreThoseBeforeIt) {
  Shape const s{.batch = 4, .queries = 49, .keys = 49, .width = 16, .value_width = 16};
  auto in = random_inputs<float>(s);
  auto const bias = normal_numbers(s.bias_size(), 5);
  in.bias.assign(bias.begin(), bias.end());
  auto const got = run<Chosen, true, true>(in, plain(attn::Softmax{}), full(), 0, dropout(0.3));
  auto const want = run<Reference, false, true>(as_double(in), plain(attn::Softmax{}), full(), 0, dropout(0.3));
  auto const verdict = agree(got, want, attn::testing::tolerance<float>(2000), s);
  EXPECT_TRUE(bool(verdict)) << verdict.message();
  auto const more = run<Chosen, true, true>(in, plain(attn::Softmax{}), full(), 0, dropout(0.6));
  EXPECT_NE(got.out, more.out);
  EXPECT_EQ(got.frobenius, more.frobenius);
  EXPECT_EQ(got.jacobian, more.jacobian);
}

using Space = Kokkos::DefaultHostExecutionSpace;
using Memory = Space::memory_space;
template <class T>
using Rows = attn::Tensor<T, 4, Memory>;

template <class T>
std::string message_of(AttentionDropout const& d) {
  std::vector<T> x(100, T(1)), y(100);
  Rows<T> const q(x.data(), {1, 1, 5, 3}), out(y.data(), {1, 1, 5, 3});
  try {
    attn::attention(Space(), attn::Softmax{}, q, q, q, out, attn::with_dropout(attn::AttentionOptions<>{}, d));
  } catch (attn::Error const& e) {
    return e.what();
  }
  return "";
}

TEST(Dropout, OfAnotherRateIsAnError) {
  EXPECT_EQ(message_of<float>(dropout(0.999)), "");
  EXPECT_NE(message_of<float>(dropout(1)).find("attention: give a dropout a rate from 0 to less than 1, got 1"),
            std::string::npos);
  EXPECT_NE(message_of<float>(dropout(-0.1)).find("got -0.1"), std::string::npos);
  EXPECT_NE(message_of<float>(dropout(std::nan(""))).find("got nan"), std::string::npos);
  EXPECT_THROW((attn::detail::check_dropout<attn::Jet<double, 1>>("attention", dropout(0.1))), attn::Error);
  EXPECT_NO_THROW((attn::detail::check_dropout<attn::Jet<double, 1>>("attention", dropout(0))));
}

TEST(Dropout, TakesNoPathThatKnowsNoWeights) {
  std::vector<float> x(8000);
  Rows<float> const q(x.data(), {1, 1, 1000, 8});
  auto const described = [&](double rate, attn::AttentionPath path) {
    return attn::describe(Space(), attn::Poly<1>{}, q, q, q, q,
                          attn::with_dropout(attn::AttentionOptions<>{.path = path}, dropout(rate)));
  };
  using attn::AttentionPath;
  EXPECT_EQ(described(0.1, AttentionPath::automatic).find("linear"), std::string::npos);
  EXPECT_THROW(described(0.1, AttentionPath::linear), attn::Error);
  if (attn::has_packs) {
    EXPECT_NE(described(0, AttentionPath::linear).find("linear"), std::string::npos);
    EXPECT_NE(described(0, AttentionPath::automatic).find("linear"), std::string::npos);
  }
}

TEST(Dropout, OfAnActivationThatIsChosenAtRunTime_NeedsOneCallForBoth) {
  using Any = attn::BasicAnyActivation<
      attn::AttentionCall<Space, float, attn::Full, attn::NoNorms, attn::Fp32Products, attn::NoBias, AttentionDropout>>;
  std::vector<float> x, first(800), second(800);
  for (double const number : normal_numbers(800, 1)) x.push_back(float(number));
  Rows<float const> const q(x.data(), {2, 2, 20, 10});
  Rows<float> const out(first.data(), q.extents()), same(second.data(), q.extents());
  auto const options = attn::with_dropout(attn::AttentionOptions<>{}, dropout(0.3));
  attn::attention(Space(), Any(attn::Softmax{}), q, q, q, out, options);
  attn::reference::attention(attn::Softmax{}, q, q, q, same, options);
  for (std::size_t i = 0; i < first.size(); ++i) EXPECT_NEAR(first[i], second[i], 1e-5);
  attn::attention(Space(), Any(attn::Softmax{}), q, q, q, out);
  attn::reference::attention(attn::Softmax{}, q, q, q, same);
  for (std::size_t i = 0; i < first.size(); ++i) EXPECT_NEAR(first[i], second[i], 1e-5);
}

}  // namespace
