/// What a data set of detection holds, in COCO's terms: images, categories, objects with boxes and regions; and what a
/// detector found.
#pragma once

#include "attn/detection/polygon.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace attn::detection {

/// The pixels of an object: polygons, of which each adds pixels, or a mask, or neither.
struct Segmentation {
  std::vector<Polygon> polygons = {};
  std::optional<MaskRle> mask = {};

  bool empty() const { return polygons.empty() && !mask; }
};

/// The mask of a segmentation that is not empty, in an image of this size. A mask has its own size.
inline MaskRle mask_of(Segmentation const& segmentation, std::uint32_t height, std::uint32_t width) {
  ATTN_CHECK(!segmentation.empty(), "mask_of: give a segmentation that holds something");
  return segmentation.mask ? *segmentation.mask : mask_of(segmentation.polygons, height, width);
}

/// A picture of a data set.
struct CocoImage {
  std::int64_t id = 0;
  std::string file = {};
  std::uint32_t height = 0, width = 0;  // 0: not told
};

/// A kind of objects.
struct CocoCategory {
  std::int64_t id = 0;
  std::string name = {};
};

/// An object of an image.
struct CocoAnnotation {
  std::int64_t id = 0, image = 0, category = 0;  // ids
  Box box = {};
  double area = 0;      // of its pixels
  bool crowd = false;   // many objects that nobody told apart: neither found nor missed
  bool ignore = false;  // not to be learned from; evaluation does not look at it
  Segmentation segmentation = {};
};

/// Something wrong that does not stop the reader: how often, and where first.
struct CocoNote {
  std::string what;
  std::size_t count = 0;
  std::string first;

  std::string text() const { return what + ": " + std::to_string(count) + " (the first: " + first + ")"; }
};

/// What was passed over in a file: each kind once, counted, with its first place.
class CocoNotes {
 public:
  void add(std::string_view what, std::string const& where) {
    for (CocoNote& note : notes_) {
      if (note.what == what) {
        ++note.count;
        return;
      }
    }
    notes_.push_back({std::string(what), 1, where});
  }
  std::vector<CocoNote> const& all() const { return notes_; }

 private:
  std::vector<CocoNote> notes_;
};

/// The content of a file instances_*.json.
struct CocoAnnotations {
  std::vector<CocoImage> images;            // by id, each once
  std::vector<CocoCategory> categories;     // by id, each once
  std::vector<CocoAnnotation> annotations;  // as they stand in the file
  CocoNotes notes;
};

/// Something that a detector found.
struct CocoResult {
  std::int64_t image = 0, category = 0;  // ids
  double score = 0;
  Box box = {};
  double area = 0;  // decides whether it is small, medium or large
  Segmentation segmentation = {};
};

/// The content of a file of results.
struct CocoResults {
  std::vector<CocoResult> results;  // as they stand in the file
  bool has_masks = false;           // whether any of them has a segmentation
  CocoNotes notes;
};

/// Where an id stands in a list that is sorted by ids; -1 if it does not.
template <class Item>
std::ptrdiff_t index_of_id(std::vector<Item> const& items, std::int64_t id) {
  auto const found =
      std::lower_bound(items.begin(), items.end(), id, [](Item const& item, std::int64_t i) { return item.id < i; });
  return found != items.end() && found->id == id ? found - items.begin() : -1;
}

/// Whether a detector learns from an object: it is not ignored or a crowd, has pixels, is at least a pixel wide and
/// high, and its box meets its image.
inline bool is_learned(CocoAnnotation const& a, CocoImage const& image) {
  bool const is_inside = std::min(a.box.x + a.box.width, double(image.width)) > std::max(a.box.x, 0.0) &&
                         std::min(a.box.y + a.box.height, double(image.height)) > std::max(a.box.y, 0.0);
  return !a.crowd && !a.ignore && a.area > 0 && a.box.width >= 1 && a.box.height >= 1 && is_inside;
}

}  // namespace attn::detection
