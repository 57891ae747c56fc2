/// Normalizer: from bytes to the numbers that a model sees.
#pragma once

#include "attn/data/dataset.hpp"
#include "attn/data/image.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace attn::data {

/// Of ImageNet's training images; what models of photographs are usually trained with.
inline Normalization imagenet_normalization() {
  return {.mean = {0.485f, 0.456f, 0.406f}, .deviation = {0.229f, 0.224f, 0.225f}};
}

/// Works by a table: byte v of channel c becomes (v / 255 - mean_c) / deviation_c.
template <class T>
class Normalizer {
 public:
  explicit Normalizer(Normalization const& normalization) {
    for (std::size_t c = 0; c < normalization.mean.size(); ++c) {
      std::array<T, 256>& table = tables_.emplace_back();
      for (std::size_t v = 0; v < 256; ++v) {
        double const pixel = static_cast<double>(v) / 255;
        table[v] = static_cast<T>((pixel - double(normalization.mean[c])) / double(normalization.deviation[c]));
      }
    }
  }

  std::size_t channels() const { return tables_.size(); }
  T operator()(std::size_t channel, std::uint8_t value) const { return tables_[channel][value]; }

  /// image (height, width, channels) -> out (channels, height, width).
  void operator()(Image const& image, T* out) const {
    std::size_t const step = image.channels, pixels = image.height * image.width;
    ATTN_CHECK(step == channels(), "Normalizer: give an image of ", channels(), " channels, not ", step);
    for (std::size_t c = 0; c < step; ++c) {
      std::uint8_t const* const in = image.pixels.data() + c;
      T const* const table = tables_[c].data();
      for (std::size_t p = 0; p < pixels; ++p) *out++ = table[in[step * p]];
    }
  }

 private:
  std::vector<std::array<T, 256>> tables_;
};

}  // namespace attn::data
