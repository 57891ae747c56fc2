/// Operations on an image that replace each byte by another one, the same wherever it stands: invert, posterize,
/// solarize, the contrast stretched, the histogram made even.
#pragma once

#include "attn/data/image.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

namespace attn::data {

/// What each byte becomes.
using ByteTable = std::array<std::uint8_t, 256>;

/// The table of a function of one byte.
template <class Function>
ByteTable byte_table(Function const& function) {
  ByteTable table;
  for (int v = 0; v < 256; ++v) table[static_cast<std::size_t>(v)] = static_cast<std::uint8_t>(function(v));
  return table;
}

/// Replaces the bytes of channel c by tables[c].
inline void replace_bytes(Image& image, std::array<ByteTable, 3> const& tables) {
  std::uint8_t* const p = image.pixels.data();
  std::size_t const size = image.pixels.size();
  if (image.channels == 3) {
    for (std::size_t i = 0; i + 2 < size; i += 3) {
      p[i] = tables[0][p[i]];
      p[i + 1] = tables[1][p[i + 1]];
      p[i + 2] = tables[2][p[i + 2]];
    }
  } else {
    for (std::size_t i = 0; i < size; ++i) p[i] = tables[0][p[i]];
  }
}

/// The same table for all channels.
inline void replace_bytes(Image& image, ByteTable const& table) {
  for (std::uint8_t& v : image.pixels) v = table[v];
}

namespace detail {

/// A number as it is in memory: no compiler computes with more digits, or fuses what made it with what follows. For
/// results that have to equal those of another program to the last bit.
template <class T>
T rounded(T value) {
  T volatile const stored = value;
  return stored;
}

/// counts[c][v]: how many bytes of channel c are v. Two sets of counters in turn, so that equal neighbours do not wait
/// for one another.
inline std::array<std::array<std::uint32_t, 256>, 3> histogram(Image const& image) {
  std::array<std::array<std::uint32_t, 256>, 3> counts{}, others{};
  std::uint8_t const* const p = image.pixels.data();
  std::size_t const size = image.pixels.size(), step = image.channels;
  std::size_t i = 0;
  for (; i + 2 * step <= size; i += 2 * step) {
    for (std::size_t c = 0; c < step; ++c) ++counts[c][p[i + c]], ++others[c][p[i + step + c]];
  }
  for (; i < size; ++i) ++counts[i % step][p[i]];
  for (std::size_t c = 0; c < step; ++c) {
    for (std::size_t v = 0; v < 256; ++v) counts[c][v] += others[c][v];
  }
  return counts;
}

}  // namespace detail

/// v -> 255 - v.
inline void invert(Image& image) {
  for (std::uint8_t& v : image.pixels) v = static_cast<std::uint8_t>(255 - v);
}

/// Keeps the highest `bits` bits of each byte; none make it black.
inline void posterize(Image& image, int bits) {
  ATTN_CHECK(bits >= 0 && bits <= 8, "posterize: keep from 0 to 8 bits, not ", bits);
  auto const mask = static_cast<std::uint8_t>(0xff << (8 - bits));
  for (std::uint8_t& v : image.pixels) v &= mask;
}

/// Inverts the bytes that are `threshold` or more.
inline void solarize(Image& image, int threshold = 128) {
  for (std::uint8_t& v : image.pixels) v = static_cast<std::uint8_t>(v < threshold ? v : 255 - v);
}

/// Adds `addition` to the bytes below `threshold`, up to 255.
inline void solarize_add(Image& image, int addition, int threshold = 128) {
  for (std::uint8_t& v : image.pixels) v = static_cast<std::uint8_t>(v < threshold ? std::min(v + addition, 255) : v);
}

/// Stretches each channel so that its darkest byte becomes 0 and its brightest 255.
inline void auto_contrast(Image& image) {
  auto const counts = detail::histogram(image);
  std::array<ByteTable, 3> tables;
  for (std::size_t c = 0; c < image.channels; ++c) {
    int low = 0, high = 255;
    while (low < 255 && counts[c][static_cast<std::size_t>(low)] == 0) ++low;
    while (high > 0 && counts[c][static_cast<std::size_t>(high)] == 0) --high;
    double const scale = 255.0 / (high - low), offset = detail::rounded(-low * scale);
    tables[c] = byte_table([&](int v) {
      return high <= low ? v : std::clamp(static_cast<int>(detail::rounded(v * scale) + offset), 0, 255);
    });
  }
  replace_bytes(image, tables);
}

/// Spreads the bytes of each channel so that all occur about equally often.
inline void equalize(Image& image) {
  auto const counts = detail::histogram(image);
  std::array<ByteTable, 3> tables;
  for (std::size_t c = 0; c < image.channels; ++c) {
    std::uint64_t sum = 0, last = 0;  // of all bytes; of the highest that occurs
    for (std::uint64_t const count : counts[c]) {
      sum += count;
      if (count > 0) last = count;
    }
    std::uint64_t const step = (sum - last) / 255;
    std::uint64_t at = step / 2;
    tables[c] = byte_table([&](int v) {
      if (step == 0) return static_cast<std::uint64_t>(v);
      std::uint64_t const level = std::min<std::uint64_t>(at / step, 255);
      at += counts[c][static_cast<std::size_t>(v)];
      return level;
    });
  }
  replace_bytes(image, tables);
}

}  // namespace attn::data
