/// Which detections of a category match which objects, at ten thresholds of overlap and for objects of four ranges of
/// area: the part of COCO's evaluation that looks at images.
#pragma once

#include "attn/detection/coco.hpp"

#include <array>
#include <limits>
#include <tuple>
#include <unordered_map>

namespace attn::detection::detail {

struct CocoArea {
  double low, high;
};
inline constexpr std::array<CocoArea, 4> coco_areas = {{{0, 1e10}, {0, 1024}, {1024, 9216}, {9216, 1e10}}};

inline constexpr int coco_thresholds = 10;
inline constexpr std::size_t most_coco_detections = 100;  // of an image and a category: the surest

/// Evenly from `first` to `last`, rounded as numpy.linspace rounds: on which side of a threshold a figure falls is seen
/// in the result. Computed by the compiler, which fuses nothing.
template <int n>
constexpr std::array<double, n> linspace(double first, double last) {
  std::array<double, n> values{};
  double const step = (last - first) / (n - 1);
  for (int i = 0; i < n; ++i) values[std::size_t(i)] = i * step + first;
  values[n - 1] = last;
  return values;
}
inline constexpr auto coco_overlaps = linspace<coco_thresholds>(0.5, 0.95);
inline constexpr auto coco_recalls = linspace<101>(0, 1);

/// What became of the detections of one category.
struct CocoMatches {
  struct Detection {
    double score;
    int rank;                              // in its image, 0 the surest
    std::array<std::uint16_t, 4> matched;  // by area; a bit for each threshold
    std::array<std::uint16_t, 4> ignored;  // neither right nor wrong
  };
  std::vector<Detection> detections;        // by image
  std::array<std::size_t, 4> objects = {};  // to be found, by area
};

class CocoMatcher {
 public:
  CocoMatcher(CocoAnnotations const& coco, CocoResults const& results, bool masks) : coco_(coco), masks_(masks) {
    sort_objects();
    for (CocoResult const& r : results.results) {
      std::ptrdiff_t const image = index_of_id(coco.images, r.image),
                           category = index_of_id(coco.categories, r.category);
      ATTN_CHECK(image >= 0, "evaluate_coco: give results of images that the annotations list, ", r.image, " is none");
      if (category >= 0) found_.push_back({category, image, &r});
    }
    std::stable_sort(found_.begin(), found_.end(), [](Found const& a, Found const& b) {
      return std::tie(a.category, a.image, b.item->score) < std::tie(b.category, b.image, a.item->score);
    });
  }

  /// Call it for each category, in ascending order.
  CocoMatches match(std::size_t category) {
    CocoMatches matches;
    auto const wanted = std::ptrdiff_t(category);
    constexpr std::ptrdiff_t none = std::numeric_limits<std::ptrdiff_t>::max();
    auto const image_of = [&](auto const& list, std::size_t i) {
      return i < list.size() && list[i].category == wanted ? list[i].image : none;
    };
    for (;;) {
      std::ptrdiff_t const image = std::min(image_of(objects_, object_), image_of(found_, detection_));
      if (image == none) return matches;
      std::size_t const first_object = object_, first_detection = detection_;
      while (image_of(objects_, object_) == image) ++object_;
      while (image_of(found_, detection_) == image) ++detection_;
      match_image(coco_.images[std::size_t(image)], std::span(objects_).subspan(first_object, object_ - first_object),
                  std::span(found_).subspan(first_detection, detection_ - first_detection), matches);
    }
  }

 private:
  template <class Item>
  struct In {
    std::ptrdiff_t category, image;
    Item const* item;
  };
  using Object = In<CocoAnnotation>;
  using Found = In<CocoResult>;

  /// Objects by category and image. Where an id occurs twice, the published code takes the last annotation with it for
  /// each, wherever that one is.
  void sort_objects() {
    std::unordered_map<std::int64_t, CocoAnnotation const*> last;
    for (CocoAnnotation const& a : coco_.annotations) last[a.id] = &a;
    auto const place = [&](CocoAnnotation const& a) {
      return Object{index_of_id(coco_.categories, a.category), index_of_id(coco_.images, a.image), &a};
    };
    std::vector<Object> listed;
    for (CocoAnnotation const& a : coco_.annotations) {
      if (Object const object = place(a); object.category >= 0 && object.image >= 0) listed.push_back(object);
    }
    std::stable_sort(listed.begin(), listed.end(), [](auto const& a, auto const& b) { return a.image < b.image; });
    for (Object const& object : listed) {
      Object const meant = place(*last[object.item->id]);
      if (meant.category >= 0 && meant.image >= 0) objects_.push_back(meant);
    }
    std::stable_sort(objects_.begin(), objects_.end(), [](auto const& a, auto const& b) {
      return std::tie(a.category, a.image) < std::tie(b.category, b.image);
    });
  }

  void match_image(CocoImage const& image, std::span<Object const> objects, std::span<Found const> found,
                   CocoMatches& matches) {
    found = found.first(std::min(found.size(), most_coco_detections));
    compute_overlaps(image, objects, found);
    std::size_t const first = matches.detections.size();
    for (std::size_t d = 0; d < found.size(); ++d) {
      matches.detections.push_back({found[d].item->score, int(d), {}, {}});
    }
    auto const of_image = std::span(matches.detections).subspan(first);
    for (std::size_t area = 0; area < coco_areas.size(); ++area) {
      matches.objects[area] += match_area(objects, found, area, of_image);
    }
  }

  /// overlaps_ (found, objects)
  void compute_overlaps(CocoImage const& image, std::span<Object const> objects, std::span<Found const> found) {
    overlaps_.assign(objects.size() * found.size(), 0);
    if (overlaps_.empty() && !masks_) return;
    if (!masks_) {
      for (std::size_t d = 0; d < found.size(); ++d) {
        for (std::size_t o = 0; o < objects.size(); ++o) {
          overlaps_[d * objects.size() + o] = iou(found[d].item->box, objects[o].item->box, objects[o].item->crowd);
        }
      }
      return;
    }
    std::vector<Region> truths;
    for (Object const& object : objects) {
      CocoAnnotation const& a = *object.item;
      ATTN_CHECK(!a.segmentation.empty(),
                 "evaluate_coco: give each annotation a segmentation to compare masks, number ", a.id, " has none");
      truths.emplace_back(a.segmentation, a.box, image);
    }
    for (std::size_t d = 0; d < found.size() && !objects.empty(); ++d) {
      Region const region(found[d].item->segmentation, found[d].item->box, image);
      for (std::size_t o = 0; o < objects.size(); ++o) {
        Region const& truth = truths[o];
        bool const same = region.mask.height == truth.mask.height && region.mask.width == truth.mask.width;
        if (!same || iou(region.bounds, truth.bounds) <= 0) continue;
        overlaps_[d * objects.size() + o] = iou(region.mask, truth.mask, objects[o].item->crowd);
      }
    }
  }

  struct Region {
    MaskRle mask;
    Box bounds;

    /// Of something without a segmentation its box is taken.
    Region(Segmentation const& s, Box const& box, CocoImage const& image) {
      ATTN_CHECK(s.mask || image.width > 0, "evaluate_coco: give image ", image.id,
                 " its height and width, which its polygons are drawn in");
      mask = s.empty() ? mask_of(box, image.height, image.width) : mask_of(s, image.height, image.width);
      bounds = bounding_box(mask);
    }
  };

  /// Matches for objects of a range of area; returns how many there are to be found.
  std::size_t match_area(std::span<Object const> objects, std::span<Found const> found, std::size_t area,
                         std::span<CocoMatches::Detection> out) {
    auto const is_outside = [&](double a) { return a < coco_areas[area].low || a > coco_areas[area].high; };
    auto const is_ignored = [&](std::size_t o) { return objects[o].item->crowd || is_outside(objects[o].item->area); };
    order_.resize(objects.size());
    for (std::size_t o = 0; o < objects.size(); ++o) order_[o] = o;
    auto const ignored = std::stable_partition(order_.begin(), order_.end(), [&](auto o) { return !is_ignored(o); });
    auto const wanted = std::size_t(ignored - order_.begin());
    for (int t = 0; t < coco_thresholds; ++t) {
      taken_.assign(objects.size(), false);
      for (std::size_t d = 0; d < found.size(); ++d) {
        std::size_t const best = best_match(objects, d, std::min(coco_overlaps[std::size_t(t)], 1 - 1e-10), wanted);
        auto const bit = std::uint16_t(1 << t);
        if (best < order_.size()) {
          CocoAnnotation const& object = *objects[order_[best]].item;
          taken_[best] = true;
          if (best >= wanted) out[d].ignored[area] |= bit;
          if (object.id != 0) out[d].matched[area] |= bit;  // 0 means no match in the published code
        }
        bool const unmatched = (out[d].matched[area] & bit) == 0;
        if (unmatched && is_outside(found[d].item->area)) out[d].ignored[area] |= bit;
      }
    }
    return wanted;
  }

  /// The place in order_ of the object that detection `d` overlaps most, at least by `overlap`; beyond the end for
  /// none. Objects that are not wanted come last, and only where no other matches.
  std::size_t best_match(std::span<Object const> objects, std::size_t d, double overlap, std::size_t wanted) const {
    std::size_t best = order_.size();
    for (std::size_t i = 0; i < order_.size(); ++i) {
      if (taken_[i] && !objects[order_[i]].item->crowd) continue;
      if (best < wanted && i >= wanted) break;
      double const here = overlaps_[d * objects.size() + order_[i]];
      if (here < overlap) continue;
      overlap = here;
      best = i;
    }
    return best;
  }

  CocoAnnotations const& coco_;
  bool masks_;
  std::vector<Object> objects_;
  std::vector<Found> found_;
  std::size_t object_ = 0, detection_ = 0;  // the next ones
  std::vector<double> overlaps_;
  std::vector<std::size_t> order_;
  std::vector<bool> taken_;
};

}  // namespace attn::detection::detail
