/// Color jitter: brightness, contrast and saturation changed at random; and the three operations of DeiT III.
#pragma once

#include "attn/data/distributions.hpp"
#include "attn/data/image_blur.hpp"
#include "attn/data/image_enhance.hpp"

#include <algorithm>
#include <array>

namespace attn::data {

/// Changes brightness, contrast and saturation, in random order, each by a factor that is uniform between
/// 1 - strength, but at least 0, and 1 + strength.
inline void color_jitter(Image& image, double strength, RandomKey key, ImageScratch& scratch) {
  ATTN_CHECK(strength >= 0, "color_jitter: give a strength of at least 0, not ", strength);
  std::array<int, 3> order{};
  shuffle(subkey(key, "order"), order);
  Draws draws(key);
  auto const factor = [&] { return draws.uniform(std::max(0.0, 1 - strength), 1 + strength); };
  std::array<double, 3> const factors{factor(), factor(), factor()};
  for (int const which : order) {
    double const f = factors[static_cast<std::size_t>(which)];
    if (which == 0) brightness(image, f);
    if (which == 1) contrast(image, f);
    if (which == 2) color(image, f, scratch);
  }
}

/// Grey, solarized or blurred (by a sigma of 0.1 to 2 pixels), each in a third of all cases (Touvron et al. 2022).
inline void three_augment(Image& image, RandomKey key, ImageScratch& scratch) {
  Draws draws(key);
  std::int64_t const which = draws.integer(3);
  double const sigma = draws.uniform(0.1, 2);
  if (which == 0) grey(image);
  if (which == 1) solarize(image, 128);
  if (which == 2) gaussian_blur(image, sigma, scratch);
}

}  // namespace attn::data
