#include "attn/activation/activation.hpp"
#include "attn/activation/concepts.hpp"
#include "attn/core/pack.hpp"

#include <gtest/gtest.h>

#include <type_traits>

namespace {

using attn::Row;

/// The smallest of each kind.
struct Identity {
  template <class T>
  ATTN_FUNCTION T operator()(T score, Row) const {
    return score;
  }
};

struct Average {
  template <class T>
  struct Stats {
    T count = T(0);
  };
  template <class T>
  ATTN_FUNCTION T absorb(Stats<T>& stats, T) const {
    stats.count += T(1);
    return T(1);
  }
  template <class T>
  ATTN_FUNCTION T numerator(T, Stats<T> const&) const {
    return T(1);
  }
  template <class T>
  ATTN_FUNCTION T normalizer(Stats<T> const& stats) const {
    return stats.count;
  }
  template <class T>
  ATTN_FUNCTION T pullback(T, T, T) const {
    return T(0);
  }
};

/// What is no activation.
struct ReturnsAnotherType {
  template <class T>
  double operator()(T score, Row) const {
    return double(score);
  }
};
struct KnowsNoRow {
  template <class T>
  T operator()(T score) const {
    return score;
  }
};
struct ChangesItself {
  int calls = 0;
  template <class T>
  T operator()(T score, Row) {
    return ++calls, score;
  }
};
struct OnlyFloat {
  float operator()(float score, Row) const { return score; }
};
struct LacksPullback : Average {
  void pullback() const;
};

TEST(PointwiseActivation, IsModelledByAFunctionOfScoreAndRow) {
  EXPECT_TRUE((attn::PointwiseActivation<Identity, float>));
  EXPECT_TRUE((attn::PointwiseActivation<Identity, attn::Pack<double>>));
  EXPECT_TRUE((attn::PointwiseActivation<Identity, attn::Jet<float, 2, 1>>));
  EXPECT_FALSE((attn::PointwiseActivation<ReturnsAnotherType, float>));
  EXPECT_TRUE((attn::PointwiseActivation<ReturnsAnotherType, double>));
  EXPECT_FALSE((attn::PointwiseActivation<KnowsNoRow, float>));
  EXPECT_FALSE((attn::PointwiseActivation<ChangesItself, float>));
  EXPECT_FALSE((attn::PointwiseActivation<int, float>));
}

TEST(PointwiseActivation, IsForOneScalarWhereTheFunctionIsNoTemplate) {
  EXPECT_TRUE((attn::PointwiseActivation<OnlyFloat, float>));
  EXPECT_FALSE((attn::PointwiseActivation<OnlyFloat, attn::Jet<float, 1>>));
}

TEST(RowActivation, NeedsStatisticsAndAPullback) {
  EXPECT_TRUE((attn::RowActivation<Average, float>));
  EXPECT_TRUE((attn::RowActivation<attn::Softmax, attn::Pack<float>>));
  EXPECT_FALSE((attn::RowActivation<LacksPullback, float>));
  EXPECT_FALSE((attn::RowActivation<Identity, float>));
}

TEST(MergesRows, IsModelledByThoseThatSayHow) {
  EXPECT_TRUE((attn::MergesRows<attn::Softmax, attn::Pack<float>>));
  EXPECT_TRUE((attn::MergesRows<attn::TemperedSoftmax, float>));
  EXPECT_TRUE((attn::MergesRows<attn::Normalized<Identity>, attn::Jet<float, 1>>));
  EXPECT_FALSE((attn::MergesRows<Average, float>));
  EXPECT_FALSE((attn::MergesRows<Identity, float>));
}

TEST(Activation, IsEither) {
  EXPECT_TRUE((attn::Activation<Identity, float>));
  EXPECT_TRUE((attn::Activation<Average, float>));
  EXPECT_FALSE((attn::Activation<KnowsNoRow, float>));
}

TEST(Activations, OfTheLibraryAreTriviallyCopyable) {
  EXPECT_TRUE(std::is_trivially_copyable_v<attn::Softmax>);
  EXPECT_TRUE((std::is_trivially_copyable_v<attn::Poly<3, attn::DynamicScale>>));
  EXPECT_TRUE(std::is_trivially_copyable_v<attn::Relu>);
  EXPECT_TRUE(std::is_trivially_copyable_v<attn::Sigmoid>);
}

}  // namespace
