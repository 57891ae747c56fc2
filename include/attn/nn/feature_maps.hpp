/// Feature maps: tensors (B, H, W, C), channels last, and the windows that slide over them.
#pragma once

#include "attn/nn/module.hpp"

namespace attn::nn {

/// Rows and columns: `{3, 5}`, or one number for both.
struct Size2 {
  Index height = 1, width = 1;

  constexpr Size2() = default;
  ATTN_FUNCTION constexpr Size2(Index both) : height(both), width(both) {}
  ATTN_FUNCTION constexpr Size2(Index rows, Index columns) : height(rows), width(columns) {}

  ATTN_FUNCTION constexpr Index area() const { return height * width; }
  constexpr auto operator<=>(Size2 const&) const = default;
};

/// Feature maps (B, H, W, C) of a context's scalar in its memory, for signatures, and such that are only read.
template <class Ctx>
using MapsOf = TensorOf<Ctx, 4>;
/// The same, to be read alone.
template <class Ctx>
using ConstMapsOf = ConstTensorOf<Ctx, 4>;

/// Maps (B, H, W, C) in any memory.
template <class X>
concept FeatureMaps = requires(X const& x) {
  typename X::Scalar;
  typename X::MemorySpace;
  x.is_contiguous();
}
&&X::rank == 4;

/// The height and width of maps.
template <FeatureMaps X>
Size2 map_size(X const& maps) {
  return {maps.extent(1), maps.extent(2)};
}

/// A window that slides over maps: `kernel` pixels that lie `dilation` apart, moved by `stride`, over maps that have
/// `padding` more pixels on each side.
struct Window {
  Size2 kernel = 1;
  Size2 stride = 1;
  Size2 padding = 0;
  Size2 dilation = 1;

  /// From the first to the last pixel of the window.
  ATTN_FUNCTION constexpr Size2 reach() const {
    return {(kernel.height - 1) * dilation.height + 1, (kernel.width - 1) * dilation.width + 1};
  }

  /// How many places the window has: floor((size + 2 padding - reach) / stride) + 1.
  Size2 places(char const* function, Size2 map) const {
    Size2 const r = reach();
    ATTN_CHECK(map.height + 2 * padding.height >= r.height && map.width + 2 * padding.width >= r.width, function,
               ": give maps of at least ", r.height - 2 * padding.height, " x ", r.width - 2 * padding.width,
               " pixels, on which a kernel of ", kernel.height, " x ", kernel.width, " fits, got ", map.height, " x ",
               map.width);
    return {(map.height + 2 * padding.height - r.height) / stride.height + 1,
            (map.width + 2 * padding.width - r.width) / stride.width + 1};
  }

  /// Throws where no map has such a window.
  void check(char const* module) const {
    ATTN_CHECK(kernel.height > 0 && kernel.width > 0 && stride.height > 0 && stride.width > 0 && dilation.height > 0 &&
                   dilation.width > 0 && padding.height >= 0 && padding.width >= 0,
               module, ": choose a positive kernel, stride and dilation, and a padding that is not negative, got ",
               kernel.height, " x ", kernel.width, ", ", stride.height, " x ", stride.width, ", ", dilation.height,
               " x ", dilation.width, " and ", padding.height, " x ", padding.width);
  }
};

/// Which pixels of maps the places of a window cover: of a map of `input` pixels, in `output` places.
struct SlidingWindow {
  Window window;
  Size2 input, output;

  /// Calls body(tap, pixel) for the pixels under the window at place `place`, counted through the batch as rows of the
  /// tensors are; tap is (row, column) of the kernel. Padding is skipped.
  template <class Body>
  ATTN_FUNCTION void for_pixels_of(Index place, Body const& body) const {
    Index const left = place % output.width * window.stride.width - window.padding.width;
    Index const line = place / output.width, top = line % output.height * window.stride.height - window.padding.height;
    Index const first_row = line / output.height * input.height;
    for (Index i = 0; i < window.kernel.height; ++i) {
      Index const y = top + i * window.dilation.height;
      if (y < 0 || y >= input.height) continue;
      for (Index j = 0; j < window.kernel.width; ++j) {
        Index const x = left + j * window.dilation.width;
        if (x < 0 || x >= input.width) continue;
        body(i * window.kernel.width + j, (first_row + y) * input.width + x);
      }
    }
  }

  /// The transpose: calls body(tap, place) for the places whose window covers `pixel`.
  template <class Body>
  ATTN_FUNCTION void for_places_over(Index pixel, Body const& body) const {
    Index const right = pixel % input.width + window.padding.width;
    Index const line = pixel / input.width, bottom = line % input.height + window.padding.height;
    Index const first_row = line / input.height * output.height;
    for (Index i = 0; i < window.kernel.height; ++i) {
      Index const y = bottom - i * window.dilation.height;
      if (y < 0 || y % window.stride.height != 0 || y / window.stride.height >= output.height) continue;
      for (Index j = 0; j < window.kernel.width; ++j) {
        Index const x = right - j * window.dilation.width;
        if (x < 0 || x % window.stride.width != 0 || x / window.stride.width >= output.width) continue;
        body(i * window.kernel.width + j,
             (first_row + y / window.stride.height) * output.width + x / window.stride.width);
      }
    }
  }

  /// The pixel under `tap` of the window at `place`, or -1 in the padding.
  ATTN_FUNCTION Index pixel_under(Index place, Index tap) const {
    Index const line = place / output.width;
    Index const x = place % output.width * window.stride.width - window.padding.width +
                    tap % window.kernel.width * window.dilation.width;
    Index const y = line % output.height * window.stride.height - window.padding.height +
                    tap / window.kernel.width * window.dilation.height;
    bool const inside = y >= 0 && y < input.height && x >= 0 && x < input.width;
    return inside ? (line / output.height * input.height + y) * input.width + x : -1;
  }
};

}  // namespace attn::nn
