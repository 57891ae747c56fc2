/// Resampling of images: a part of one, brought to another size, as Pillow's `resize` does.
#pragma once

#include "attn/core/resampling.hpp"
#include "attn/data/image.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace attn::data {

/// How wide the filter is, in pixels of the larger image: 2 (a triangle) or 4 (Keys' cubic, a = -1/2).
enum class Filter { bilinear, bicubic };

namespace detail {

/// The weights of one axis in fixed point: whole numbers are exact in any order, on any machine.
class FixedWeights {
 public:
  static constexpr int bits = 22;
  static constexpr std::int32_t half = 1 << (bits - 1);

  struct Taps {
    std::size_t first, count;  // of the input
    std::int32_t const* weights;
  };

  /// Edges are rounded to single precision, as Pillow takes them.
  void make(Filter filter, std::size_t input, double begin, double length, std::size_t output) {
    double const start = double(float(begin)), end = double(float(begin + length));
    ResamplingAxis const axis(filter == Filter::bilinear ? Resampling::bilinear : Resampling::bicubic, Index(input),
                              Index(output), true, start, double(float(end - start)));
    std::size_t const taps = std::size_t(axis.taps);
    exact_.resize(taps);
    fixed_.resize(taps * output);
    ranges_.resize(output);
    first_ = input;
    end_ = 0;
    for (std::size_t i = 0; i < output; ++i) {
      std::size_t const at = std::size_t(axis.weights_of(Index(i), exact_.data()));
      std::size_t low = 0, high = taps;
      while (low + 1 < high && exact_[low] == 0) ++low;
      while (high > low + 1 && exact_[high - 1] == 0) --high;
      for (std::size_t t = low; t < high; ++t) {
        double const scaled = exact_[t] * (1 << bits);
        fixed_[taps * i + t - low] = static_cast<std::int32_t>(scaled + (scaled < 0 ? -0.5 : 0.5));
      }
      ranges_[i] = {at + low, high - low, &fixed_[taps * i]};
      first_ = std::min(first_, at + low);  // not always that of i = 0: at the middle of a pixel no other one counts
      end_ = std::max(end_, at + high);
    }
  }

  Taps const& operator[](std::size_t i) const { return ranges_[i]; }
  std::size_t first() const { return first_; }
  std::size_t end() const { return end_; }

 private:
  std::vector<double> exact_;
  std::vector<std::int32_t> fixed_;
  std::vector<Taps> ranges_;
  std::size_t first_ = 0, end_ = 0;  // of all of them
};

inline std::uint8_t byte_of(std::int32_t sum) {
  return static_cast<std::uint8_t>(std::clamp(sum >> FixedWeights::bits, 0, 255));
}

typedef std::int32_t FourWhole __attribute__((vector_size(16)));  // the channels of a pixel

/// Memory of a thread that resamples.
struct ResampleMemory {
  FixedWeights across, down;
  std::vector<FourWhole> row;
  std::vector<std::int32_t> sums;
  Image between;  // of the two passes
};

/// One row -> `columns` pixels.
inline void resample_row(std::uint8_t const* in, std::size_t channels, std::size_t columns, ResampleMemory& memory,
                         std::uint8_t* out) {
  FixedWeights const& weights = memory.across;
  std::size_t const first = weights.first(), pixels = weights.end() - first;
  in += first * channels;
  if (channels == 1) {
    for (std::size_t x = 0; x < columns; ++x) {
      auto const& taps = weights[x];
      std::int32_t sum = FixedWeights::half;
      for (std::size_t t = 0; t < taps.count; ++t) sum += taps.weights[t] * in[taps.first - first + t];
      out[x] = byte_of(sum);
    }
    return;
  }
  FourWhole* const row = memory.row.data();
  for (std::size_t x = 0; x < pixels; ++x) row[x] = FourWhole{in[3 * x], in[3 * x + 1], in[3 * x + 2], 0};
  for (std::size_t x = 0; x < columns; ++x) {
    auto const& taps = weights[x];
    FourWhole const* const from = row + (taps.first - first);
    FourWhole sum = {FixedWeights::half, FixedWeights::half, FixedWeights::half, 0};
    for (std::size_t t = 0; t < taps.count; ++t) sum += taps.weights[t] * from[t];
    for (std::size_t c = 0; c < 3; ++c) out[3 * x + c] = byte_of(sum[c]);
  }
}

/// `taps.count` rows, from `in` on and `stride` apart -> one row of `size` bytes.
inline void resample_rows(std::uint8_t const* in, std::size_t stride, std::size_t size, FixedWeights::Taps const& taps,
                          std::vector<std::int32_t>& sums, std::uint8_t* out) {
  sums.resize(size);
  std::int32_t* const sum = sums.data();
  std::fill_n(sum, size, FixedWeights::half);
  std::size_t t = 0;
  for (; t + 4 <= taps.count; t += 4) {
    std::uint8_t const* const p = in + t * stride;
    std::int32_t const *const w = taps.weights + t, a = w[0], b = w[1], c = w[2], d = w[3];
    for (std::size_t i = 0; i < size; ++i) {
      sum[i] += a * p[i] + b * p[stride + i] + c * p[2 * stride + i] + d * p[3 * stride + i];
    }
  }
  for (; t < taps.count; ++t) {
    std::uint8_t const* const p = in + t * stride;
    std::int32_t const w = taps.weights[t];
    for (std::size_t i = 0; i < size; ++i) sum[i] += w * p[i];
  }
  for (std::size_t i = 0; i < size; ++i) out[i] = byte_of(sum[i]);
}

/// Rows [first, end) of in, their width resampled -> out (end - first, width, channels).
inline void resample_across(Image const& in, std::size_t first, std::size_t end, std::size_t width,
                            ResampleMemory& memory, Image& out) {
  out.resize(end - first, width, in.channels);
  memory.row.resize(in.width);
  for (std::size_t y = first; y < end; ++y) {
    resample_row(in.at(y, 0), in.channels, width, memory, out.at(y - first, 0));
  }
}

/// in, whose first row is row `skipped` of the image that the weights were made for -> out (height, width, channels).
inline void resample_down(Image const& in, std::size_t skipped, std::size_t height, ResampleMemory& memory,
                          Image& out) {
  out.resize(height, in.width, in.channels);
  std::size_t const stride = in.width * in.channels;
  for (std::size_t y = 0; y < height; ++y) {
    auto const& taps = memory.down[y];
    resample_rows(in.at(taps.first - skipped, 0), stride, stride, taps, memory.sums, out.at(y, 0));
  }
}

}  // namespace detail

/// box of in -> out (height, width, channels of in), whose memory is used again. Equal to Pillow's
/// `in.resize((width, height), filter, box)` to the byte: where the result is smaller, the filter is as wide as one of
/// its pixels. Pixels around the box count where the filter reaches them; at the edges of the image weights are scaled
/// to the sum 1. `in` and `out` are different images.
inline void resample(Image const& in, ImageBox const& box, std::size_t height, std::size_t width, Filter filter,
                     Image& out) {
  check(in, "resample");
  constexpr std::size_t longest = 1 << 24;  // single precision, in which edges are given, knows the pixels apart
  ATTN_CHECK(in.height <= longest && in.width <= longest && height <= longest && width <= longest,
             "resample: give and ask for sides of at most ", longest, " pixels");
  ATTN_CHECK(height > 0 && width > 0, "resample: ask for at least one pixel, not ", height, " x ", width);
  double const h = double(in.height), w = double(in.width);
  double const slack = 1e-6 * std::max(h, w);
  bool const inside = box.top >= 0 && box.left >= 0 && box.height > 0 && box.width > 0 &&
                      box.top + box.height <= h + slack && box.left + box.width <= w + slack;
  ATTN_CHECK(inside, "resample: give a box within the ", in.height, " x ", in.width, " image, not ", box.height, " x ",
             box.width, " at ", box.top, ", ", box.left);

  thread_local detail::ResampleMemory memory;
  bool const across = in.width != width || box.left != 0 || box.width != w;
  bool const down = in.height != height || box.top != 0 || box.height != h;
  if (across) memory.across.make(filter, in.width, box.left, box.width, width);
  if (down) memory.down.make(filter, in.height, box.top, box.height, height);
  // The bytes between the passes are rounded and cut, so their order can be seen; this is when Pillow 13 begins with
  // columns.
  bool const down_first = h > double(height) && h - double(height) > 2 * (w - double(width));
  if (across && down && down_first) {
    detail::resample_down(in, 0, height, memory, memory.between);
    detail::resample_across(memory.between, 0, height, width, memory, out);
  } else if (across && down) {
    detail::resample_across(in, memory.down.first(), memory.down.end(), width, memory, memory.between);
    detail::resample_down(memory.between, memory.down.first(), height, memory, out);
  } else if (across) {
    detail::resample_across(in, 0, in.height, width, memory, out);
  } else if (down) {
    detail::resample_down(in, 0, height, memory, out);
  } else {
    out = in;
  }
}

/// The same, into a new image.
inline Image resample(Image const& in, ImageBox const& box, std::size_t height, std::size_t width, Filter filter) {
  Image out;
  resample(in, box, height, width, filter, out);
  return out;
}

}  // namespace attn::data
