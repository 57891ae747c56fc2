/// Reads COCO's JSON: annotations, and results of detectors.
///
/// What cannot be meant is an `attn::Error` with the file and the place. What the published evaluation passes over
/// (annotations of images or categories that there are not, ids that occur twice) is passed over, counted and named.
#pragma once

#include "attn/detection/coco.hpp"
#include "attn/detection/detail/json_fields.hpp"
#include "attn/detection/mask_text.hpp"
#include "attn/io/file.hpp"

#include <unordered_set>

namespace attn::detection {

namespace detail {

/// Sorts by id; of those with one id the last stays, as for the published code.
template <class Item>
void sort_by_id(std::vector<Item>& items, CocoNotes& notes, char const* what) {
  std::stable_sort(items.begin(), items.end(), [](Item const& a, Item const& b) { return a.id < b.id; });
  std::size_t kept = 0;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i + 1 < items.size() && items[i + 1].id == items[i].id) {
      notes.add(what, "id " + std::to_string(items[i].id));
      continue;
    }
    if (kept != i) items[kept] = std::move(items[i]);
    ++kept;
  }
  items.resize(kept);
}

inline CocoImage read_coco_image(Fields const& fields) {
  CocoImage image{.id = fields.integer("id"), .file = fields.text_or("file_name", "")};
  if (fields.has("height") || fields.has("width")) {
    std::int64_t const height = fields.integer("height"), width = fields.integer("width");
    ATTN_CHECK(height >= 0 && width >= 0 && height <= 1'000'000'000 && width <= 1'000'000'000,
               "give height and width from 0 to 1000000000, got ", height, " and ", width);
    image.height = std::uint32_t(height);
    image.width = std::uint32_t(width);
  }
  return image;
}

/// {"size": [height, width], "counts": a list of runs or their text}
inline MaskRle read_mask(io::Json const& json) {
  ATTN_CHECK(json.is_object() && json.contains("size") && json.contains("counts"),
             "segmentation: give polygons, or an object with size and counts");
  auto const is_whole = [](double v) { return v >= 0 && v <= double(most_mask_pixels) && v == std::floor(v); };
  std::vector<double> const size = numbers(json["size"], "size");
  ATTN_CHECK(size.size() == 2 && is_whole(size[0]) && is_whole(size[1]),
             "size: give two whole numbers, height and width, got ", json["size"].dump());
  auto const height = std::int64_t(size[0]), width = std::int64_t(size[1]);
  io::Json const& counts = json["counts"];
  if (counts.is_string()) return mask_from_text(counts.get_ref<std::string const&>(), height, width);
  check_mask_size(height, width, "size");
  MaskRle mask{std::uint32_t(height), std::uint32_t(width)};
  for (double const v : numbers(counts, "counts")) {
    ATTN_CHECK(is_whole(v), "counts: give whole numbers from 0 to ", most_mask_pixels, ", got ", v);
    mask.counts.push_back(std::uint32_t(v));
  }
  check(mask, "counts");
  return mask;
}

/// The field "segmentation", of any kind; empty where there is none.
inline Segmentation read_segmentation(Fields const& fields) {
  Segmentation segmentation;
  if (!fields.has("segmentation")) return segmentation;
  io::Json const& json = fields.at("segmentation");
  if (!json.is_array()) {
    segmentation.mask = read_mask(json);
    return segmentation;
  }
  for (io::Json const& polygon : json) {
    segmentation.polygons.push_back(numbers(polygon, "segmentation"));
    check(segmentation.polygons.back(), "segmentation");
  }
  return segmentation;
}

inline Box read_box(Fields const& fields) {
  std::vector<double> const v = numbers(fields.at("bbox"), "bbox");
  ATTN_CHECK(v.size() == 4, "bbox: give four numbers, x, y, width and height, got ", v.size());
  return {v[0], v[1], v[2], v[3]};
}

inline CocoAnnotation read_coco_annotation(Fields const& fields) {
  return {.id = fields.integer("id"),
          .image = fields.integer("image_id"),
          .category = fields.integer("category_id"),
          .box = read_box(fields),
          .area = fields.number("area"),
          .crowd = fields.flag("iscrowd"),
          .ignore = fields.flag("ignore"),
          .segmentation = read_segmentation(fields)};
}

/// Counts what is odd about annotations.
inline void note_annotations(CocoAnnotations& coco) {
  std::unordered_set<std::int64_t> ids;
  for (CocoAnnotation const& a : coco.annotations) {
    std::string const name = "annotation " + std::to_string(a.id);
    std::ptrdiff_t const image = index_of_id(coco.images, a.image);
    if (image < 0) {
      coco.notes.add("annotations of images that are not listed", name + ", image " + std::to_string(a.image));
    }
    if (index_of_id(coco.categories, a.category) < 0) {
      coco.notes.add("annotations of categories that are not listed",
                     name + ", category " + std::to_string(a.category));
    }
    if (!ids.insert(a.id).second) {
      coco.notes.add("annotations with the id of another, of which the last counts for each", name);
    }
    if (a.id == 0) coco.notes.add("annotations of id 0, whose matches the published evaluation takes for misses", name);
    if (!(a.box.width > 0 && a.box.height > 0)) {
      coco.notes.add("boxes of no area", name);
    } else if (image >= 0 && coco.images[std::size_t(image)].width > 0) {
      CocoImage const& of = coco.images[std::size_t(image)];
      bool const meets =
          a.box.x < of.width && a.box.y < of.height && a.box.x + a.box.width > 0 && a.box.y + a.box.height > 0;
      if (!meets) coco.notes.add("boxes outside of their images", name);
    }
  }
}

}  // namespace detail

/// Reads the bytes of a file instances_*.json; `name`, of the file, is for messages.
inline CocoAnnotations parse_coco_annotations(std::string_view text, std::string const& name) {
  CocoAnnotations coco;
  detail::for_each_object(text, name, {"images", "categories", "annotations"}, [&](detail::Fields const& fields) {
    if (fields.list() == "images") coco.images.push_back(detail::read_coco_image(fields));
    if (fields.list() == "categories") {
      coco.categories.push_back({fields.integer("id"), fields.text_or("name", "")});
    }
    if (fields.list() == "annotations") coco.annotations.push_back(detail::read_coco_annotation(fields));
  });
  detail::sort_by_id(coco.images, coco.notes, "images listed twice, of which the last counts");
  detail::sort_by_id(coco.categories, coco.notes, "categories listed twice, of which the last counts");
  detail::note_annotations(coco);
  return coco;
}

/// file -> annotations.
inline CocoAnnotations read_coco_annotations(io::Path const& path) {
  return parse_coco_annotations(io::MappedFile(path).text(), path.string());
}

/// Reads the bytes of a file of results for these annotations: a list of {"image_id", "category_id", "score", and
/// "bbox", "segmentation" or both}. As in the published code, the first result decides where areas come from: from
/// boxes if it has one, else from masks. Results of images that the annotations do not list are an error.
inline CocoResults parse_coco_results(std::string_view text, std::string const& name, CocoAnnotations const& coco) {
  CocoResults all;
  bool area_of_box = false;
  detail::for_each_object(text, name, {}, [&](detail::Fields const& fields) {
    bool const has_box = fields.has("bbox") && !fields.at("bbox").empty();
    if (all.results.empty()) area_of_box = has_box;
    CocoResult result{.image = fields.integer("image_id"),
                      .category = fields.integer("category_id"),
                      .score = fields.number("score"),
                      .segmentation = detail::read_segmentation(fields)};
    std::ptrdiff_t const image = index_of_id(coco.images, result.image);
    bool const has_mask = !result.segmentation.empty();
    ATTN_CHECK(image >= 0, "give results of images that the annotations list, ", result.image, " is none");
    ATTN_CHECK(has_box || has_mask, "give a bbox or a segmentation");
    CocoImage const& of = coco.images[std::size_t(image)];
    if (index_of_id(coco.categories, result.category) < 0) {
      all.notes.add("results of categories that are not listed",
                    fields.where() + ", category " + std::to_string(result.category));
    }
    if (has_box) result.box = detail::read_box(fields);
    if (has_box && !(result.box.width > 0 && result.box.height > 0)) {
      all.notes.add("results with boxes of no area", fields.where());
    }
    if (has_mask && (!has_box || !area_of_box)) {
      MaskRle const mask = mask_of(result.segmentation, of.height, of.width);
      if (!has_box) result.box = bounding_box(mask);
      result.area = double(area(mask));
    }
    if (area_of_box) {
      ATTN_CHECK(has_box, "give a bbox, as the first result has");
      result.area = result.box.area();
    } else {
      ATTN_CHECK(has_mask, "give a segmentation, as the first result has");
    }
    if (result.segmentation.mask && of.width > 0 &&
        (result.segmentation.mask->height != of.height || result.segmentation.mask->width != of.width)) {
      all.notes.add("masks of another size than their images, which match nothing", fields.where());
    }
    all.has_masks = all.has_masks || has_mask;
    all.results.push_back(std::move(result));
  });
  return all;
}

/// file -> results.
inline CocoResults read_coco_results(io::Path const& path, CocoAnnotations const& coco) {
  return parse_coco_results(io::MappedFile(path).text(), path.string(), coco);
}

}  // namespace attn::detection
