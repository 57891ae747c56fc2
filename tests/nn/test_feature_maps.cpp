#include "attn/nn/feature_maps.hpp"

#include <array>
#include <set>

#include "support.hpp"

namespace {

using attn::Index;
using attn::nn::Size2;
using attn::nn::SlidingWindow;
using attn::nn::Window;

TEST(Window, HasAsManyPlacesAsPyTorchSays) {
  EXPECT_EQ((Window{.kernel = 3, .padding = 1}.places("f", {5, 8})), Size2(5, 8));
  EXPECT_EQ((Window{.kernel = {3, 2}, .stride = 2, .padding = {1, 0}}.places("f", {6, 5})), Size2(3, 2));
  EXPECT_EQ((Window{.kernel = 3, .stride = {1, 3}, .dilation = {2, 1}}.places("f", {5, 9})), Size2(1, 3));
}

TEST(Window, SaysWhereItDoesNotFit) {
  EXPECT_EQ(attn_test::error_of([] {
              (void)Window{.kernel = 3, .dilation = 2}.places("f", {5, 4});
            }),
            "f: give maps of at least 5 x 5 pixels, on which a kernel of 3 x 3 fits, got 5 x 4");
}

TEST(SlidingWindow, ListsTheSamePairsByPlaceAndByPixel) {
  for (auto const& w : {Window{.kernel = {2, 3}, .stride = {2, 1}, .padding = {1, 2}, .dilation = {1, 2}},
                        Window{.kernel = 3, .stride = 4}, Window{.kernel = 1, .padding = 1}}) {
    Size2 const map{5, 6};
    SlidingWindow const sliding{w, map, w.places("test", map)};
    using Pairs = std::set<std::array<Index, 3>>;  // tap, place, pixel
    Pairs by_place, by_pixel, alone;
    Index const batch = 2;
    for (Index place = 0; place < batch * sliding.output.area(); ++place) {
      sliding.for_pixels_of(place, [&](Index tap, Index pixel) { by_place.insert({tap, place, pixel}); });
      for (Index tap = 0; tap < w.kernel.area(); ++tap) {
        Index const pixel = sliding.pixel_under(place, tap);
        if (pixel >= 0) alone.insert({tap, place, pixel});
      }
    }
    for (Index pixel = 0; pixel < batch * map.area(); ++pixel) {
      sliding.for_places_over(pixel, [&](Index tap, Index place) { by_pixel.insert({tap, place, pixel}); });
    }
    EXPECT_FALSE(by_place.empty());
    EXPECT_EQ(by_pixel, by_place);
    EXPECT_EQ(alone, by_place);
  }
}

}  // namespace
