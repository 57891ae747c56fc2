// Attention against an independent implementation: tests/golden/README.md.
#include "attn/io/npy.hpp"

#include <gtest/gtest.h>

#include <string>

#include "attention/cases.hpp"

namespace {

using namespace attn_test;
using attn::testing::allclose;

template <class T>
std::vector<T> golden(std::string const& name) {
  auto const values = attn::io::read_npy(std::string(ATTN_GOLDEN_DIR) + "/attention/" + name + ".npy").as<float>();
  return std::vector<T>(values.begin(), values.end());
}

template <class KernelAndScalar>
class Golden : public ::testing::Test {
 protected:
  using Kernel = typename KernelAndScalar::first_type;
  using T = typename KernelAndScalar::second_type;

  static Inputs<T> inputs(std::string const& layout) {
    Shape shape;  // 2 sequences, 5 queries, 7 keys, widths 6 and 4
    shape.heads = layout == "heads" ? 3 : 4;
    shape.kv_heads = layout == "heads" ? 3 : 2;
    return {shape, golden<T>(layout + "_q"), golden<T>(layout + "_k"), golden<T>(layout + "_v"),
            golden<T>(layout + "_d_out")};
  }

  /// `length` 7 keys and 6 channels; the files are rounded to fp32.
  template <class MakeActivation, class MakeMask>
  static void expect(std::string const& layout, std::string const& mask, std::string const& activation,
                     MakeActivation const& make_activation, MakeMask const& make_mask) {
    std::string const name = layout + "_" + mask + "_" + activation;
    auto const result = run<Kernel, Kernel::has_norms>(inputs(layout), make_activation, make_mask);
    double const tolerance = attn::testing::tolerance<float>(7 * 6);
    auto const check = [&](std::string const& array, std::vector<T> const& got) {
      auto const verdict = allclose(got, golden<T>(name + "_" + array), tolerance);
      EXPECT_TRUE(verdict) << name << "_" << array << ": " << verdict.message();
    };
    check("out", result.out);
    check("d_q", result.d_q);
    check("d_k", result.d_k);
    check("d_v", result.d_v);
    if (!result.d_parameters.empty()) check("d_scale", result.d_parameters);
    if constexpr (Kernel::has_norms) {
      check("frobenius", roots(result.frobenius));
      check("jacobian", roots(result.jacobian));
    }
  }

  static std::vector<T> roots(std::vector<T> squares) {
    for (T& x : squares) x = std::sqrt(x);
    return squares;
  }

  template <class MakeMask>
  static void expect_both(std::string const& layout, std::string const& mask, MakeMask const& make_mask) {
    expect(layout, mask, "softmax", plain(attn::Softmax{}), make_mask);
    expect(layout, mask, "poly3", plain(attn::Poly<3>{}), make_mask);
  }
};

using Kernels = ::testing::Types<std::pair<Reference, double>, std::pair<Portable, double>, std::pair<Chosen, float>>;
TYPED_TEST_SUITE(Golden, Kernels);

TYPED_TEST(Golden, EveryQuerySeesEveryKey) {
  for (std::string const layout : {"heads", "grouped"}) this->expect_both(layout, "full", full());
}

TYPED_TEST(Golden, Causal) {
  for (std::string const layout : {"heads", "grouped"}) this->expect_both(layout, "causal", causal(0));
  this->expect_both("heads", "causal_end", causal(7 - 5));
}

TYPED_TEST(Golden, Window) { this->expect_both("heads", "window", window({.before = 2, .after = 1})); }

TYPED_TEST(Golden, Lengths) { this->expect_both("heads", "lengths", lengths({4, 0})); }

TYPED_TEST(Golden, FixedScale) {
  for (std::string const layout : {"heads", "grouped"}) {
    this->expect(layout, "full", "poly3_fixed", plain(attn::Poly<3, attn::FixedScale>{}), full());
  }
}

TYPED_TEST(Golden, TrainedScaleOfALayer) {
  for (std::string const layout : {"heads", "grouped"}) {
    this->expect(layout, "full", "poly3_dynamic", dynamic_poly<3>(golden<double>(layout + "_dynamic_scale")), full());
  }
}

TYPED_TEST(Golden, TrainedScaleOfEachHead) {  // one of them is zero
  for (std::string const layout : {"heads", "grouped"}) {
    this->expect(layout, "full", "poly3_per_head", dynamic_poly<3>(golden<double>(layout + "_per_head_scale")), full());
  }
}

using GoldenOfTheLibrarysMasks = Golden<std::pair<Chosen, double>>;

TEST_F(GoldenOfTheLibrarysMasks, ShowTheSameKeys) {
  expect("heads", "full", "poly3", plain(attn::Poly<3>{}), plain(attn::Full{}));
  expect("heads", "causal_end", "poly3", plain(attn::Poly<3>{}), plain(attn::Causal{.offset = 7 - 5}));
}

}  // namespace
