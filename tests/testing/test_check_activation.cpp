#include "attn/activation/activation.hpp"
#include "attn/testing/check_activation.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace {

using attn::Row;
using attn::testing::check_activation;

/// The kinds of the faults that are found.
template <class A>
std::vector<std::string> kinds(A const& a) {
  std::vector<std::string> found;
  auto const report = check_activation(a);
  for (auto const& [kind, sentence] : report.faults()) found.push_back(kind);
  return found;
}
template <class A>
bool finds(A const& a, std::string const& kind) {
  auto const found = kinds(a);
  return std::find(found.begin(), found.end(), kind) != found.end();
}

struct Cube {
  template <class T>
  ATTN_FUNCTION T operator()(T s, Row) const {
    return s * s * s;
  }
};

struct StatesAnotherPolynomial : Cube {
  unsigned degrees() const { return 1u << 2 | 1u << 3; }
  double coefficient(int m, Row) const { return m == 3 ? 1 : 1e-6; }
};

struct SlopeOfASquare : Cube {
  template <class T>
  ATTN_FUNCTION T slope(T s, Row) const {
    return T(2) * s;
  }
};

struct SlopeThatIsWrongAtZero : Cube {
  template <class T>
  ATTN_FUNCTION T slope(T s, Row) const {
    return T(3) * s * s * s / s;
  }
};

struct SlopeThatIsAConstant : Cube {  // right in value, but a jet loses its derivatives
  template <class T>
  ATTN_FUNCTION T slope(T s, Row) const {
    if constexpr (std::floating_point<T>) {
      return T(3) * s * s;
    } else {
      return T(3) * T(attn::RealOf<T>(1)) * s * T(value_of(s));
    }
  }
  template <class T>
  static ATTN_FUNCTION T value_of(T s) {
    return s;
  }
  template <class T, int... Orders>
  static ATTN_FUNCTION T value_of(attn::Jet<T, Orders...> const& s) {
    return s.value();
  }
};

struct Counts {
  int* calls;
  template <class T>
  ATTN_FUNCTION T operator()(T s, Row) const {
    return s * T(attn::RealOf<T>(++*calls));
  }
};

struct Reciprocal {
  template <class T>
  ATTN_FUNCTION T operator()(T s, Row) const {
    return T(1) / s;
  }
};

struct Exponential {
  template <class T>
  ATTN_FUNCTION T operator()(T s, Row) const {
    return attn::exp(s * T(2));
  }
};

struct AnotherFunctionInPacks {
  template <class T>
  ATTN_FUNCTION T operator()(T s, Row) const {
    return std::same_as<T, attn::Pack<float>> ? s * s : s;
  }
};

struct KeepsAVector : Cube {
  std::vector<double> table;
};

TEST(CheckActivation, FindsNothingWrongWithASoundOne) {
  auto const report = check_activation(Cube{});
  EXPECT_TRUE(report);
  EXPECT_EQ(report.message(), "sound");
}

TEST(CheckActivation, SaysWhatIsWrongAndWhere) {
  auto const report = check_activation(SlopeOfASquare{});
  EXPECT_FALSE(report);
  EXPECT_NE(report.message().find("slope: it is 2 at score 1 (n_keys 1, head 0), where finite differences give 3"),
            std::string::npos)
      << report.message();
}

TEST(CheckActivation, FindsAWrongSlope) {
  EXPECT_TRUE(finds(SlopeOfASquare{}, "slope"));
  EXPECT_TRUE(finds(SlopeThatIsWrongAtZero{}, "slope"));
}

TEST(CheckActivation, FindsAPolynomialThatIsNotTheWeight) {
  EXPECT_EQ(kinds(StatesAnotherPolynomial{}), std::vector<std::string>{"polynomial"});
}

TEST(CheckActivation, FindsASlopeThatLosesTheDerivativesOfAJet) {
  EXPECT_TRUE(finds(SlopeThatIsAConstant{}, "second derivative"));
}

TEST(CheckActivation, FindsAStateThatCallsChange) {
  int calls = 0;
  EXPECT_TRUE(finds(Counts{&calls}, "pure"));
}

TEST(CheckActivation, FindsAPoleAtZeroAndAnOverflow) {
  EXPECT_TRUE(finds(Reciprocal{}, "finite"));
  EXPECT_TRUE(finds(Exponential{}, "finite"));
  EXPECT_TRUE(check_activation(Exponential{}, {.largest_score = 20}));
}

TEST(CheckActivation, FindsAnotherAnswerForPacks) {
  EXPECT_EQ(finds(AnotherFunctionInPacks{}, "pack"), attn::has_packs);
}

TEST(CheckActivation, FindsATypeThatADeviceCannotCopy) {
  EXPECT_EQ(kinds(KeepsAVector{}), std::vector<std::string>{"type"});
}

/// c s^3 + d, trained; `Fault` chooses a mistake.
enum class Fault { none, slope, head, bind };
template <Fault fault, attn::Real R = float>
struct Trained {
  static constexpr int n_parameters = 2;
  static constexpr char const* parameter_names[] = {"factor", "offset"};
  attn::LearnedParameters<R> numbers;

  template <class T>
  ATTN_FUNCTION T operator()(T s, Row row) const {
    int const first = numbers.per_head && fault != Fault::head ? n_parameters * row.head : 0;
    return T(attn::RealOf<T>(numbers.value[first])) * s * s * s + T(attn::RealOf<T>(numbers.value[first + 1]));
  }
  attn::LearnedParameters<R> parameters() const { return numbers; }
  template <class T>
  ATTN_FUNCTION Kokkos::Array<T, 2> parameter_slopes(T s, Row) const {
    return {fault == Fault::slope ? s * s : s * s * s, T(1)};
  }
  static Kokkos::Array<double, 2> initial_parameters(int) { return {0.5, 0.1}; }
  template <attn::Real Other>
  Trained<fault, Other> bind(attn::LearnedParameters<Other> p) const {
    if (fault == Fault::bind) p.per_head = false;
    return {p};
  }
};

TEST(CheckActivation, TriesTrainedNumbers) {
  EXPECT_EQ(check_activation(Trained<Fault::none>{}).message(), "sound");
  EXPECT_TRUE(finds(Trained<Fault::slope>{}, "parameter slopes"));
  EXPECT_TRUE(finds(Trained<Fault::head>{}, "parameter slopes"));
  EXPECT_TRUE(finds(Trained<Fault::bind>{}, "bind"));
}

/// Mistakes in a softmax.
struct SoftmaxOfASum : attn::Softmax {  // a pullback that forgets the other scores
  template <class T>
  ATTN_FUNCTION T pullback(T w, T d_w, T) const {
    return w * d_w;
  }
};

struct SoftmaxThatIsNotLinear : attn::Softmax {
  template <class T>
  ATTN_FUNCTION T pullback(T w, T d_w, T delta) const {
    return w * (d_w - delta) * (T(1) + attn::abs(d_w));
  }
};

struct ForgetsTheFactor : attn::Softmax {
  template <class T>
  ATTN_FUNCTION T absorb(Stats<T>& stats, T s) const {
    (void)attn::Softmax::absorb(stats, s);
    return T(1);
  }
};

struct NormalisesByTheLast : attn::Softmax {
  template <class T>
  ATTN_FUNCTION T absorb(Stats<T>& stats, T s) const {
    T const factor = attn::Softmax::absorb(stats, s);
    stats.sum = attn::exp(s - stats.max);
    return factor;
  }
};

struct NoMaximum {  // overflows
  template <class T>
  struct Stats {
    T sum = T(0);
  };
  template <class T>
  ATTN_FUNCTION T absorb(Stats<T>& stats, T s) const {
    stats.sum += attn::exp(s);
    return T(1);
  }
  template <class T>
  ATTN_FUNCTION T numerator(T s, Stats<T> const&) const {
    return attn::exp(s);
  }
  template <class T>
  ATTN_FUNCTION T normalizer(Stats<T> const& stats) const {
    return stats.sum;
  }
  template <class T>
  ATTN_FUNCTION T pullback(T w, T d_w, T delta) const {
    return w * (d_w - delta);
  }
};

struct WrongJacobian : attn::Softmax {
  template <class T>
  ATTN_FUNCTION T squared_jacobian(T sum_w2, T) const {
    return sum_w2;
  }
};

struct MergesWithoutFactors : attn::Softmax {
  template <class T>
  ATTN_FUNCTION Kokkos::Array<T, 2> merge(Stats<T>& stats, Stats<T> const& others) const {
    (void)attn::Softmax::merge(stats, others);
    return {T(1), T(1)};
  }
};

TEST(CheckActivation, TriesRowActivations) {
  EXPECT_EQ(check_activation(attn::Softmax{}).message(), "sound");
  EXPECT_TRUE(finds(SoftmaxOfASum{}, "pullback"));
  EXPECT_TRUE(finds(SoftmaxThatIsNotLinear{}, "pullback"));
  EXPECT_TRUE(finds(ForgetsTheFactor{}, "factor"));
  EXPECT_TRUE(finds(NormalisesByTheLast{}, "order"));
  EXPECT_TRUE(finds(WrongJacobian{}, "squared_jacobian"));
  EXPECT_TRUE(finds(MergesWithoutFactors{}, "merge"));
  EXPECT_EQ(check_activation(NoMaximum{}).message(), "sound");
  EXPECT_FALSE(check_activation(NoMaximum{}, {.largest_score = 100}));
}

}  // namespace
