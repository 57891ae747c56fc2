/// MaskRle: the pixels of an object as run lengths, and what can be computed from these without decoding them.
#pragma once

#include "attn/core/check.hpp"
#include "attn/detection/box.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

namespace attn::detection {

/// More pixels than a picture has: sizes beyond are refused before memory is taken.
inline constexpr std::uint64_t most_mask_pixels = 100'000'000;

/// Throws where a mask of this size cannot be meant. `name` opens the sentence.
inline void check_mask_size(std::int64_t height, std::int64_t width, char const* name) {
  bool const good = height >= 0 && width >= 0 && height <= std::int64_t(most_mask_pixels) &&
                    width <= std::int64_t(most_mask_pixels) &&
                    std::uint64_t(height) * std::uint64_t(width) <= most_mask_pixels;
  ATTN_CHECK(good, name, ": give a mask at most ", most_mask_pixels, " pixels, got ", height, " x ", width);
}

/// A mask of height x width pixels, numbered down the columns, the first column first. `counts` are the lengths of its
/// runs: pixels outside, pixels inside, pixels outside, and so on; they add up to height x width. COCO's "counts".
struct MaskRle {
  std::uint32_t height = 0, width = 0;
  std::vector<std::uint32_t> counts = {};

  bool operator==(MaskRle const&) const = default;
};

/// Throws unless the runs of a mask add up to its pixels. `name` opens the sentence.
inline void check(MaskRle const& mask, char const* name) {
  check_mask_size(mask.height, mask.width, name);
  std::uint64_t const sum = std::accumulate(mask.counts.begin(), mask.counts.end(), std::uint64_t(0));
  ATTN_CHECK(sum == std::uint64_t(mask.height) * mask.width, name, ": give runs that add up to the ", mask.height,
             " x ", mask.width, " pixels of their mask, got ", sum, " pixels in ", mask.counts.size(), " runs");
}

namespace detail {

/// Puts runs together, so that no run is empty but perhaps the first.
class RunWriter {
 public:
  void add(std::uint32_t length, bool inside) {
    if (length == 0) return;
    if (inside != (counts_.size() % 2 == 0)) counts_.push_back(0);
    counts_.back() += length;
  }
  MaskRle mask(std::uint32_t height, std::uint32_t width) && { return {height, width, std::move(counts_)}; }

 private:
  std::vector<std::uint32_t> counts_ = {0};
};

/// Calls f(length, inside a, inside b) for the pieces in which neither mask changes. O(runs of both).
template <class F>
void for_common_runs(MaskRle const& a, MaskRle const& b, F const& f) {
  std::uint32_t of_a = 0, of_b = 0;  // what is left of the runs i - 1 and j - 1
  for (std::size_t i = 0, j = 0;;) {
    while (of_a == 0 && i < a.counts.size()) of_a = a.counts[i++];
    while (of_b == 0 && j < b.counts.size()) of_b = b.counts[j++];
    std::uint32_t const length = std::min(of_a, of_b);
    if (length == 0) return;
    f(length, i % 2 == 0, j % 2 == 0);
    of_a -= length;
    of_b -= length;
  }
}

inline void check_same_size(MaskRle const& a, MaskRle const& b, char const* name) {
  ATTN_CHECK(a.height == b.height && a.width == b.width, name, ": give masks of one size, got ", a.height, " x ",
             a.width, " and ", b.height, " x ", b.width);
}

inline MaskRle combined(std::span<MaskRle const> masks, bool both, char const* name) {
  ATTN_CHECK(!masks.empty(), name, ": give at least one mask");
  MaskRle all = masks[0];
  check(all, name);
  for (MaskRle const& mask : masks.subspan(1)) {
    check(mask, name);
    check_same_size(all, mask, name);
    RunWriter runs;
    for_common_runs(all, mask, [&](std::uint32_t length, bool in_all, bool in_mask) {
      runs.add(length, both ? in_all && in_mask : in_all || in_mask);
    });
    all = std::move(runs).mask(all.height, all.width);
  }
  return all;
}

}  // namespace detail

/// pixels (height, width), row by row; what is not 0 is inside.
inline MaskRle encode_mask(std::span<std::uint8_t const> pixels, std::uint32_t height, std::uint32_t width) {
  check_mask_size(height, width, "encode_mask");
  ATTN_CHECK(pixels.size() == std::size_t(height) * width, "encode_mask: give ", height, " x ", width, " pixels, got ",
             pixels.size());
  detail::RunWriter runs;
  for (std::size_t x = 0; x < width; ++x) {
    for (std::size_t y = 0; y < height; ++y) runs.add(1, pixels[y * width + x] != 0);
  }
  return std::move(runs).mask(height, width);
}

/// (height, width), row by row: 1 inside, 0 outside.
inline std::vector<std::uint8_t> decode_mask(MaskRle const& mask) {
  check(mask, "decode_mask");
  std::vector<std::uint8_t> pixels(std::size_t(mask.height) * mask.width, 0);
  std::size_t at = 0;
  for (std::size_t run = 0; run < mask.counts.size(); at += mask.counts[run++]) {
    if (run % 2 == 0) continue;
    for (std::size_t i = at; i < at + mask.counts[run]; ++i) pixels[i % mask.height * mask.width + i / mask.height] = 1;
  }
  return pixels;
}

/// How many pixels are inside.
inline std::uint64_t area(MaskRle const& mask) {
  std::uint64_t sum = 0;
  for (std::size_t run = 1; run < mask.counts.size(); run += 2) sum += mask.counts[run];
  return sum;
}

/// The smallest box that holds all pixels inside; no box for none.
inline Box bounding_box(MaskRle const& mask) {
  check(mask, "bounding_box");
  std::uint64_t left = mask.width, right = 0, top = mask.height, bottom = 0, at = 0;
  for (std::size_t run = 0; run < mask.counts.size(); at += mask.counts[run++]) {
    if (run % 2 == 0 || mask.counts[run] == 0) continue;
    std::uint64_t const last = at + mask.counts[run] - 1;
    bool const one_column = at / mask.height == last / mask.height;
    left = std::min(left, at / mask.height);
    right = std::max(right, last / mask.height);
    top = one_column ? std::min(top, at % mask.height) : 0;
    bottom = one_column ? std::max(bottom, last % mask.height) : mask.height - 1;
  }
  if (left > right || top > bottom) return {};
  return {double(left), double(top), double(right - left + 1), double(bottom - top + 1)};
}

/// What is in any of the masks.
inline MaskRle unite(std::span<MaskRle const> masks) { return detail::combined(masks, false, "unite"); }

/// What is in all of the masks.
inline MaskRle intersect(std::span<MaskRle const> masks) { return detail::combined(masks, true, "intersect"); }

/// Pixels in both over pixels in either; 0 for masks that do not overlap. Over the pixels of the detection if the truth
/// is a `crowd`. O(runs).
inline double iou(MaskRle const& detection, MaskRle const& truth, bool crowd = false) {
  detail::check_same_size(detection, truth, "iou");
  std::uint64_t both = 0, either = 0;
  detail::for_common_runs(detection, truth, [&](std::uint32_t length, bool in_detection, bool in_truth) {
    if (in_detection && in_truth) both += length;
    if (in_detection || in_truth) either += length;
  });
  if (both == 0) return 0;
  return double(both) / double(crowd ? area(detection) : either);
}

}  // namespace attn::detection
