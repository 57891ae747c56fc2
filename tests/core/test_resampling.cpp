#include "attn/core/resampling.hpp"

#include "support.hpp"

namespace {

using attn::Index;
using attn::Resampling;
using attn::ResamplingAxis;

TEST(ResamplingAxis, HasWeightsOfSumOneInsideTheAxis) {
  for (auto const method : {Resampling::nearest, Resampling::bilinear, Resampling::bicubic}) {
    for (bool const smooth : {false, true}) {
      if (smooth && method == Resampling::nearest) continue;
      for (Index const input : {1, 2, 3, 7, 16}) {
        for (Index const output : {1, 2, 5, 7, 31}) {
          ResamplingAxis const axis(method, input, output, smooth);
          std::vector<double> weights(std::size_t(axis.taps));
          Index before = 0;
          for (Index i = 0; i < output; ++i) {
            Index const first = axis.weights_of(i, weights.data());
            EXPECT_GE(first, before);
            EXPECT_LE(first + axis.taps, input);
            before = first;
            double sum = 0;
            for (double const w : weights) sum += w;
            EXPECT_NEAR(sum, 1, 1e-14);
          }
        }
      }
    }
  }
}

TEST(ResamplingAxis, OfTheSameSizeChangesNothing) {
  for (auto const method : {Resampling::nearest, Resampling::bilinear, Resampling::bicubic}) {
    ResamplingAxis const axis(method, 5, 5);
    std::vector<double> weights(std::size_t(axis.taps));
    for (Index i = 0; i < 5; ++i) {
      Index const first = axis.weights_of(i, weights.data());
      EXPECT_EQ(weights[std::size_t(i - first)], 1);
    }
  }
}

TEST(ResamplingAxis, SaysWhatIsWrong) {
  EXPECT_EQ(attn_test::error_of([] { ResamplingAxis(Resampling::bicubic, 0, 3); }),
            "ResamplingAxis: give positive sizes, got 0 and 3");
  EXPECT_EQ(attn_test::error_of([] { ResamplingAxis(Resampling::nearest, 4, 3, true); }),
            "ResamplingAxis: choose bilinear or bicubic where antialias is on");
}

}  // namespace
