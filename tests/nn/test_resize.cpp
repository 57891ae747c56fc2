#include "attn/nn/resize.hpp"
#include "attn/testing/check_module.hpp"

#include "golden_maps.hpp"
#include "support.hpp"

namespace {

using attn::Resampling;
using attn::nn::Resize;
using attn_test::Exec;
template <class T>
using Ctx = attn::nn::Context<Exec, T>;

struct Case {
  char const* name;
  Resize::Config config;
};
Case const cases[] = {
    {"resize_nearest", {.size = {7, 3}}},
    {"resize_bilinear", {.size = {9, 4}, .method = Resampling::bilinear}},
    {"resize_bicubic", {.size = {7, 5}, .method = Resampling::bicubic}},
    {"resize_bilinear_smooth", {.size = {3, 9}, .method = Resampling::bilinear, .antialias = true}},
    {"resize_bicubic_smooth", {.size = {4, 5}, .method = Resampling::bicubic, .antialias = true}},
};

TEST(Resize, AgreesWithAnIndependentImplementation) {
  for (Case const& c : cases) {
    auto const make = [&](attn::nn::Builder const&) { return Resize(c.config); };
    attn_test::expect_golden_maps<float>(c.name, make);
    attn_test::expect_golden_maps<double>(c.name, make);
  }
}

TEST(Resize, IsAModule) {
  for (Case const& c : cases) {
    Ctx<double> ctx;
    EXPECT_SOUND(attn::testing::check_module(ctx, Resize(c.config), {2, 5, 7, 3}).about(c.name));
  }
  Ctx<double> ctx;
  EXPECT_SOUND(attn::testing::check_module(ctx, Resize(), {1, 1, 2, 17}));
}

TEST(Resize, MultipliesASizeByItsFactor) {
  EXPECT_EQ(Resize().output_size({3, 5}), attn::nn::Size2(6, 10));
  EXPECT_EQ(Resize(Resize::Config{.factor = {3, 1}}).output_size({3, 5}), attn::nn::Size2(9, 5));
}

TEST(Resize, SaysWhatIsWrong) {
  EXPECT_EQ(attn_test::error_of([] {
              Resize(Resize::Config{.size = {0, 3}});
            }),
            "Resize: give a positive size or factor, got 0 x 3 and 2 x 2");
  EXPECT_EQ(attn_test::error_of([] { Resize(Resize::Config{.antialias = true}); }),
            "Resize: choose bilinear or bicubic where antialias is on");
}

}  // namespace
