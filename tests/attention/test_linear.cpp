// The path that is linear in the number of tokens: the results of the quadratic definition, whatever the shape, the
// mask and the polynomial; the same bits for any number of threads; and where it is taken.
#include "attn/activation/related.hpp"
#include "attn/attention/describe.hpp"

#include <gtest/gtest.h>

#include "attention/cases.hpp"

namespace {

using namespace attn_test;
using attn::AttentionPath;

/// c_0 + c_1 s + ... + c_4 s^4 for the degrees that are asked for, c times a number that is trained: one compilation
/// for all polynomials.
struct AnyPolynomial {
  static constexpr int n_parameters = 1;
  static constexpr char const* parameter_names[] = {"scale"};
  unsigned powers = 1;
  attn::BasicDynamicScale<double> scale = {};

  ATTN_FUNCTION static double number(int m) { return 1.0 / (1 + m) * (m == 3 ? -1 : 1); }
  template <class T>
  ATTN_FUNCTION T raise(T s, attn::Row row) const {
    T sum(0), power(1);
    for (int m = 0; m <= attn::max_degree; ++m, power = power * s) {
      if ((powers >> m & 1u) != 0) sum = sum + T(attn::RealOf<T>(number(m))) * power;
    }
    return sum * T(1 / attn::RealOf<T>(row.n_keys));
  }
  template <class T>
  ATTN_FUNCTION T operator()(T s, attn::Row row) const {
    return scale.value<T>(row) * raise(s, row);
  }
  template <class T>
  ATTN_FUNCTION Kokkos::Array<T, 1> parameter_slopes(T s, attn::Row row) const {
    return {raise(s, row)};
  }
  ATTN_FUNCTION attn::LearnedParameters<double> parameters() const { return scale.learned(); }
  static Kokkos::Array<double, 1> initial_parameters(int) { return {1}; }
  template <attn::Real R>
  AnyPolynomial bind(attn::LearnedParameters<R>) const {
    return *this;
  }
  unsigned degrees() const { return powers; }
  double coefficient(int m, attn::Row row) const { return scale.value<double>(row) * number(m) / row.n_keys; }
  double coefficient_slope(int m, int, attn::Row row) const { return number(m) / row.n_keys; }
};

/// Any mask of those that begin with the first key.
struct Prefix {
  static constexpr bool begins_with_first_key = true;
  attn::Causal causal = {};
  attn::KeyPadding padding = {};

  ATTN_FUNCTION attn::KeyRange keys(attn::Query q) const {
    return attn::Both<attn::Causal, attn::KeyPadding>{causal, padding}.keys(q);
  }
  ATTN_FUNCTION int length(int batch, int n_keys) const { return padding.length(batch, n_keys); }
};

template <AttentionPath path>
struct Along {
  using Exec = Kokkos::DefaultHostExecutionSpace;
  static constexpr bool has_norms = false;

  static auto options_of(auto options) {
    options.path = path;
    return options;
  }
  template <class A, class X, class Saved, class Options>
  static void forward(Exec const& exec, A const& a, X q, X k, X v, X out, Saved const& saved, Options const& options) {
    attn::attention(exec, a, q, k, v, out, saved, options_of(options));
  }
  template <class A, class X, class Saved, class Options>
  static void backward(Exec const& exec, A const& a, X q, X k, X v, X out, Saved const& saved, X d_out, X d_q, X d_k,
                       X d_v, Options const& options) {
    attn::attention_backward(exec, a, q, k, v, out, saved, d_out, d_q, d_k, d_v, options_of(options));
  }
};
using Linear = Along<AttentionPath::linear>;

auto polynomial(unsigned powers, std::vector<double> const& scale = {0.7, -0.4, 0.2, 1.1}) {
  return [=](auto& arrays) {
    return AnyPolynomial{powers,
                         {arrays.put(scale), arrays.put(std::vector<double>(scale.size(), 0)), scale.size() > 1}};
  };
}
auto padded(std::vector<int> const& lengths) {
  return [=](auto& arrays) { return attn::KeyPadding{arrays.put(lengths)}; };
}
auto prefix(int offset, std::vector<int> const& lengths) {
  return [=](auto& arrays) { return Prefix{{offset}, {arrays.put(lengths)}}; };
}

/// Degrees as bits.
constexpr unsigned one = 2, two = 4, three = 8, four = 16, sum_of_three = 1 | 2 | 4, all_of_them = 31;

void expect_reference(Shape const& s, unsigned powers, auto const& make_mask) {
  auto const in = random_inputs<double>(s);
  auto const got = run<Linear>(in, polynomial(powers), make_mask);
  auto const want = run<Reference>(in, polynomial(powers), make_mask);
  double const length = double(std::max(s.queries, s.keys) * (s.width + s.value_width));
  EXPECT_TRUE(agree(got, want, 4 * attn::testing::tolerance<double>(length), s))
      << "degrees " << powers << ", " << s.queries << " x " << s.keys << ", widths " << s.width << ", "
      << s.value_width;
}

TEST(Linear, GivesWhatTheDefinitionGives_ForEveryDegreeAndSum) {
  for (unsigned const powers : {1u, one, two, three, four, sum_of_three, two | four, all_of_them}) {
    expect_reference({.queries = 31, .keys = 29, .width = 5, .value_width = 7}, powers, padded({29, 13}));
  }
}

TEST(Linear, GivesWhatTheDefinitionGives_ForShapesOfAllKinds) {
  for (Index const width : {1, 3, 16}) {
    for (Index const value_width : {1, 16, 19}) {
      for (Index const tokens : {1, 24, 49}) {
        expect_reference({.heads = 4,
                          .kv_heads = 2,
                          .queries = tokens,
                          .keys = tokens + 1,
                          .width = width,
                          .value_width = value_width},
                         two | three, padded({int(tokens), 0}));
      }
    }
  }
  expect_reference({.batch = 1, .heads = 2, .kv_heads = 1, .queries = 3, .keys = 2, .width = 70}, two, padded({2}));
}

TEST(Linear, GivesWhatTheDefinitionGives_UnderCausalMasksAndPadding) {
  Shape const s{.heads = 4, .kv_heads = 2, .queries = 151, .keys = 163, .width = 5, .value_width = 7};
  expect_reference(s, sum_of_three, prefix(0, {163, 163}));
  expect_reference(s, three, prefix(12, {163, 90}));
  expect_reference(s, two, prefix(-70, {163, 0}));
  expect_reference(s, one, prefix(400, {160, 1}));
}

TEST(Linear, GivesWhatTheDefinitionGives_InSeveralPiecesOfOneHead) {
  Shape s{.batch = 1, .heads = 2, .kv_heads = 1, .queries = 517, .keys = 521, .width = 2, .value_width = 2};
  expect_reference(s, two, padded({519}));
  s.queries = 1025, s.keys = 1031;  // under a causal mask, pieces are longer
  expect_reference(s, one | two, prefix(5, {1029}));
}

TEST(Linear, HidesNumbersThatAreNotFinite) {
  Shape const s{.batch = 1, .queries = 101, .keys = 101, .width = 3, .value_width = 3};
  auto const check = [&](auto const& make_mask) {
    for (auto const& in : with_numbers_that_are_not_finite(random_inputs<double>(s))) {
      auto const got = run<Linear>(in, polynomial(two, {0.5}), make_mask);
      auto const want = run<Reference>(in, polynomial(two, {0.5}), make_mask);
      EXPECT_TRUE(agree_where_finite(got, want, 1e-12, s));
    }
  };
  check(padded({99}));
  check(prefix(-3, {99}));
}

/// <x, y> of the results and what is random, and its differences.
TEST(Linear, HasTheGradientsThatDifferencesHave) {
  Shape const s{.batch = 1, .heads = 2, .kv_heads = 1, .queries = 53, .keys = 53, .width = 2, .value_width = 2};
  auto const in = random_inputs<double>(s);
  std::vector<double> const scale = {0.7, -0.4};
  auto const mask = prefix(0, {50});
  auto const got = run<Linear>(in, polynomial(sum_of_three, scale), mask);
  auto const loss = [&](Inputs<double> const& at, std::vector<double> const& c) {
    return inner(in.d_out, run<Linear, false, false, false>(at, polynomial(sum_of_three, c), mask).out);
  };
  constexpr double step = 1e-5;
  auto const expect_slope = [&](double low, double high, double gradient) {
    EXPECT_NEAR((high - low) / (2 * step), gradient, 1e-7 * (1 + std::abs(gradient)));
  };
  auto const check = [&](std::vector<double> Inputs<double>::*array, std::vector<double> const& gradient) {
    for (std::size_t i = 0; i < gradient.size(); i += 17) {
      Inputs<double> low = in, high = in;
      (low.*array)[i] -= step;
      (high.*array)[i] += step;
      expect_slope(loss(low, scale), loss(high, scale), gradient[i]);
    }
  };
  check(&Inputs<double>::q, got.d_q);
  check(&Inputs<double>::k, got.d_k);
  check(&Inputs<double>::v, got.d_v);
  for (std::size_t h = 0; h < 2; ++h) {
    auto low = scale, high = scale;
    low[h] -= step;
    high[h] += step;
    expect_slope(loss(in, low), loss(in, high), got.d_parameters[h]);
  }
}

/// Calls in fp32.
using Exec = Kokkos::DefaultHostExecutionSpace;
using Power = attn::Poly<attn::any_power>;
struct Floats {
  Shape s;
  std::vector<float> q, k, v, d_out, out, d_q, d_k, d_v;

  explicit Floats(Shape const& shape) : s(shape) {
    auto const in = random_inputs<float>(s);
    q = in.q, k = in.k, v = in.v, d_out = in.d_out;
    out.resize(d_out.size()), d_q.resize(q.size()), d_k.resize(k.size()), d_v.resize(v.size());
  }
  static attn::Tensor<float, 4, Kokkos::HostSpace> tensor(std::vector<float>& x, Index heads, Index tokens,
                                                          Shape const& s) {
    return {x.data(), {s.batch, heads, tokens, Index(x.size()) / (s.batch * heads * tokens)}};
  }
  auto tensors() {
    return std::tuple(tensor(q, s.heads, s.queries, s), tensor(k, s.kv_heads, s.keys, s),
                      tensor(v, s.kv_heads, s.keys, s), tensor(out, s.heads, s.queries, s),
                      tensor(d_out, s.heads, s.queries, s), tensor(d_q, s.heads, s.queries, s),
                      tensor(d_k, s.kv_heads, s.keys, s), tensor(d_v, s.kv_heads, s.keys, s));
  }
  void run(Exec const& exec, Power const& a, attn::AttentionOptions<> const& options) {
    auto const [q_, k_, v_, out_, d_out_, d_q_, d_k_, d_v_] = tensors();
    auto const saved = attn::attention(exec, a, q_, k_, v_, out_, options);
    attn::attention_backward(exec, a, q_, k_, v_, out_, saved, d_out_, d_q_, d_k_, d_v_, options);
  }
  template <class A>
  std::string described(A const& a, attn::AttentionOptions<> const& options = {}) {
    auto const [q_, k_, v_, out_, d_out_, d_q_, d_k_, d_v_] = tensors();
    return attn::describe(Exec(), a, q_, k_, v_, out_, options);
  }
};
Power power(int p) { return {{}, {p}}; }

/// w = 1 + s + s^2 / 2
struct TaylorOfTwo {
  template <class T>
  ATTN_FUNCTION T operator()(T score, attn::Row) const {
    return T(1) + score + T(0.5f) * score * score;
  }

  unsigned degrees() const { return 1u << 0 | 1u << 1 | 1u << 2; }
  double coefficient(int m, attn::Row) const { return m == 2 ? 0.5 : 1.0; }
};

TEST(Linear, IsWhatATypeOfAUserGets_WhichStatesItsPolynomial) {
  std::vector<float> numbers(2 * 4096 * 16);
  attn::Tensor<float, 4, Kokkos::HostSpace> const x(numbers.data(), {1, 2, 4096, 16});
  auto const exec = Exec();
  auto const& q = x;
  auto const &k = x, &v = x, &out = x;
  {
    auto const kernel = attn::describe(exec, TaylorOfTwo{}, q, k, v, out, attn::AttentionOptions<attn::Causal>{});
    // attn::attention (host, linear in tokens, 48 at a time, fp32)
    EXPECT_NE(kernel.find("linear in tokens"), std::string::npos) << kernel;
  }
  attn::AttentionOptions<attn::Causal> const options{.path = attn::AttentionPath::quadratic};
  EXPECT_EQ(attn::describe(exec, TaylorOfTwo{}, q, k, v, out, options).find("linear"), std::string::npos);
}

TEST(Linear, InSinglePrecision_IsAsAccurateAsTheTypeAllows) {
  for (auto const& [p, width] : {std::pair(1, 32), {2, 32}, {2, 64}, {3, 16}}) {
    Shape const s{.batch = 1, .heads = 1, .kv_heads = 1, .queries = 200, .keys = 300, .width = width, .value_width = 8};
    Floats got(s);
    got.run(Exec(), power(p), {.path = AttentionPath::linear});
    auto want = run<Reference>(as_double(random_inputs<float>(s)),
                               polynomial(1u << p, {300 / AnyPolynomial::number(p)}), padded({300}));
    want.d_parameters.clear();
    // Terms of (q.k)^p cancel down to their sum: of D terms of each factor, about sqrt(D) remains.
    double const cancels = std::pow(std::sqrt(double(width)), p - 1);
    EXPECT_TRUE(agree(Outputs<float>{got.out, got.d_q, got.d_k, got.d_v, {}, {}, {}, {}}, want,
                      cancels * attn::testing::tolerance<float>(std::sqrt(double(s.keys * width))), s))
        << "power " << p << ", width " << width;
  }
}

TEST(Linear, HasTheSameBits_ForAnyNumberOfThreads) {
  Shape const s{.batch = 1, .heads = 2, .kv_heads = 1, .queries = 520, .keys = 530, .width = 8, .value_width = 16};
  Floats once(s), again(s);
  attn::AttentionOptions<> const options{.path = AttentionPath::linear};
  once.run(Exec(), power(2), options);
  for (auto const& space : Kokkos::Experimental::partition_space(Exec(), 1, 1)) {
    again.run(space, power(2), options);
    EXPECT_EQ(once.out, again.out);
    EXPECT_EQ(once.d_q, again.d_q);
    EXPECT_EQ(once.d_k, again.d_k);
    EXPECT_EQ(once.d_v, again.d_v);
  }
}

TEST(Linear, IsTakenWhereItCostsLess_AndAsOptionsSay) {
  auto const is_linear = [](Index tokens, Index width, auto const& a, AttentionPath path = {}) {
    Floats call({.batch = 1,
                 .heads = 1,
                 .kv_heads = 1,
                 .queries = tokens,
                 .keys = tokens,
                 .width = width,
                 .value_width = width});
    return call.described(a, {.path = path}).find("linear in tokens") != std::string::npos;
  };
  EXPECT_FALSE(is_linear(256, 32, power(2)));
  EXPECT_TRUE(is_linear(2048, 32, power(2)));
  EXPECT_TRUE(is_linear(1024, 32, power(1)));
  EXPECT_FALSE(is_linear(4096, 32, power(3)));
  EXPECT_TRUE(is_linear(4096, 16, power(3)));
  EXPECT_FALSE(is_linear(4096, 16, power(7)));
  EXPECT_FALSE(is_linear(128, 20000, power(4))) << "sums of more numbers than can be counted";
  EXPECT_FALSE(is_linear(4096, 16, attn::Sigmoid{}));
  EXPECT_TRUE(is_linear(4096, 16, attn::TaylorExponential{}));
  EXPECT_FALSE(is_linear(2048, 32, power(2), AttentionPath::quadratic));
  EXPECT_TRUE(is_linear(64, 32, power(2), AttentionPath::linear));
  EXPECT_THROW(is_linear(64, 32, power(7), AttentionPath::linear), attn::Error);
  EXPECT_THROW(is_linear(64, 32, attn::Sigmoid{}, AttentionPath::linear), attn::Error);
}

}  // namespace
