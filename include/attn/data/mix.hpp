/// Mixup and cutmix: images of a batch blended with, or patched from, those of the same batch in reversed order; and
/// the targets that such images, and label smoothing, ask for. As timm's `Mixup` in its mode "batch".
#pragma once

#include "attn/core/check.hpp"
#include "attn/data/distributions.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace attn::data {

/// When and how strongly batches are mixed; by default never. An alpha of 0 switches its kind off.
struct Mixing {
  double mixup_alpha = 0;           // ratio ~ Beta(alpha, alpha); DeiT: 0.8 (Zhang et al. 2017)
  double cutmix_alpha = 0;          // DeiT: 1 (Yun et al. 2019)
  double probability = 1;           // that a batch is mixed at all
  double cutmix_probability = 0.5;  // that it is cutmix where both kinds are on

  void check() const {
    ATTN_CHECK(mixup_alpha >= 0 && cutmix_alpha >= 0, "Mixing: give an alpha of at least 0, not ", mixup_alpha, " and ",
               cutmix_alpha);
    ATTN_CHECK(probability >= 0 && probability <= 1 && cutmix_probability >= 0 && cutmix_probability <= 1,
               "Mixing: give probabilities from 0 to 1, not ", probability, " and ", cutmix_probability);
  }
};

/// Rows and columns `top <= y < bottom`, `left <= x < right`.
struct Box {
  std::size_t top = 0;
  std::size_t bottom = 0;
  std::size_t left = 0;
  std::size_t right = 0;
};

/// How two images of a batch become one.
enum class MixKind { none, mixup, cutmix };

/// What is done to one batch. `ratio` is the share of the image itself; its partner has the rest.
struct Mix {
  MixKind kind = MixKind::none;
  double ratio = 1;
  Box box = {};  // cutmix: from the partner
};

/// Cutmix with a box around (row, column) whose sides are sqrt(1 - ratio) of the image's. What lies outside of the
/// image is cut off, and the ratio becomes that of the remaining area.
inline Mix cutmix(std::size_t height, std::size_t width, double ratio, std::size_t row, std::size_t column) {
  double const side = std::sqrt(1 - ratio);
  auto const cut_height = static_cast<std::size_t>(static_cast<double>(height) * side);
  auto const cut_width = static_cast<std::size_t>(static_cast<double>(width) * side);
  std::size_t const above = cut_height / 2;  // rows between the box's top and `row`; of an odd box, the smaller part
  std::size_t const before = cut_width / 2;
  Box const box{row - std::min(row, above), std::min(row + cut_height - above, height),
                column - std::min(column, before), std::min(column + cut_width - before, width)};
  double const area = static_cast<double>((box.bottom - box.top) * (box.right - box.left));
  return {MixKind::cutmix, 1 - area / static_cast<double>(height * width), box};
}

/// Draws what happens to one batch of images of this size.
inline Mix draw_mix(RandomKey key, Mixing const& options, std::size_t height, std::size_t width) {
  Draws draws(key);
  bool const mixup_on = options.mixup_alpha > 0;
  bool const cutmix_on = options.cutmix_alpha > 0;
  if (!(mixup_on || cutmix_on) || !draws.bernoulli(options.probability)) return {};
  bool const use_cutmix = cutmix_on && (!mixup_on || draws.bernoulli(options.cutmix_probability));
  double const alpha = use_cutmix ? options.cutmix_alpha : options.mixup_alpha;
  double const ratio = beta_variate(draws, alpha, alpha);
  if (!use_cutmix) return {MixKind::mixup, ratio};
  auto const row = static_cast<std::size_t>(draws.integer(static_cast<std::int64_t>(height)));
  auto const column = static_cast<std::size_t>(draws.integer(static_cast<std::int64_t>(width)));
  return cutmix(height, width, ratio, row, column);
}

/// images (batch, channels, height, width), in place; the partner of image b is image batch - 1 - b.
template <class T>
void apply_mix(Mix const& mix, T* images, std::size_t batch, std::size_t channels, std::size_t height,
               std::size_t width) {
  if (mix.kind == MixKind::none) return;
  std::size_t const size = channels * height * width;
  T const own = static_cast<T>(mix.ratio);
  T const other = static_cast<T>(1 - mix.ratio);
  for (std::size_t b = 0; b < batch / 2; ++b) {  // both partners at once; the middle of an odd batch is its own partner
    T* const first = images + b * size;
    T* const second = images + (batch - 1 - b) * size;
    if (mix.kind == MixKind::mixup) {
      for (std::size_t i = 0; i < size; ++i) {
        T const kept = first[i];
        first[i] = own * kept + other * second[i];
        second[i] = own * second[i] + other * kept;
      }
      continue;
    }
    for (std::size_t c = 0; c < channels; ++c) {
      for (std::size_t y = mix.box.top; y < mix.box.bottom; ++y) {
        std::size_t const row = (c * height + y) * width;
        std::swap_ranges(first + row + mix.box.left, first + row + mix.box.right, second + row + mix.box.left);
      }
    }
  }
}

/// labels (batch) -> targets (batch, classes): with e_y = 1 - smoothing at y, plus smoothing / classes everywhere,
/// target_b = ratio e(label_b) + (1 - ratio) e(label of the partner). Each row sums to 1.
template <class T>
void fill_targets(std::int32_t const* labels, std::size_t batch, std::size_t classes, double smoothing, double ratio,
                  T* targets) {
  double const off = smoothing / static_cast<double>(classes);
  for (std::size_t b = 0; b < batch; ++b) {
    T* const row = targets + b * classes;
    auto const own = static_cast<std::size_t>(labels[b]);
    auto const partner = static_cast<std::size_t>(labels[batch - 1 - b]);
    double const both = own == partner ? 1 : ratio;
    std::fill_n(row, classes, static_cast<T>(off));
    row[partner] = static_cast<T>((1 - ratio) * (1 - smoothing) + off);
    row[own] = static_cast<T>(both * (1 - smoothing) + off);
  }
}

}  // namespace attn::data
