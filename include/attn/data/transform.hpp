/// ImageTransform: what becomes of a picture on its way from its file to the numbers that a model sees.
#pragma once

#include "attn/core/random.hpp"
#include "attn/data/image.hpp"

#include <concepts>
#include <cstddef>

namespace attn::data {

/// Makes (3, height, width) numbers, or (1, height, width) of grey images, out of pictures of any size.
///
///  1. `transform.height()` and `width()` are the sizes of its output.
///  2. `transform.box(image_height, image_width, key)` is the part of a stored picture that it uses: a source may
///  decode
///     less than the rest, and where the box is much larger than the output, at half or a quarter of the size.
///  3. `transform(image, box, key, out)` writes the numbers. `box` is in the coordinates of `image`, which is the
///  stored
///     picture or a part of it, perhaps smaller; `key` is the one that `box` was asked with. Called by several threads
///     at once; all that is random comes from the key.
template <class Tr, class T>
concept ImageTransform = requires(Tr const& transform, Image const& image, ImageBox box, std::size_t size,
                                  RandomKey key, T* out) {
  { transform.height() } -> std::convertible_to<std::size_t>;
  { transform.width() } -> std::convertible_to<std::size_t>;
  { transform.box(size, size, key) } -> std::convertible_to<ImageBox>;
  transform(image, box, key, out);
};

}  // namespace attn::data
