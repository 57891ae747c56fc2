/// Writes COCO's JSON: annotations, and results of detectors.
#pragma once

#include "attn/detection/coco.hpp"
#include "attn/detection/mask_text.hpp"
#include "attn/io/file.hpp"
#include "attn/io/json.hpp"

namespace attn::detection {

namespace detail {

inline io::Json to_json(Box const& box) { return {box.x, box.y, box.width, box.height}; }

/// A mask as text, or as COCO's annotations have crowds: as a list of runs.
inline io::Json to_json(Segmentation const& segmentation, bool runs) {
  if (!segmentation.mask) return segmentation.polygons;
  MaskRle const& mask = *segmentation.mask;
  io::Json json = {{"size", {mask.height, mask.width}}};
  json["counts"] = runs ? io::Json(mask.counts) : io::Json(to_text(mask));
  return json;
}

}  // namespace detail

/// A file instances_*.json, atomically. Masks are written as lists of runs.
inline void write_coco_annotations(io::Path const& path, CocoAnnotations const& coco) {
  io::Json json = {
      {"images", io::Json::array()}, {"annotations", io::Json::array()}, {"categories", io::Json::array()}};
  for (CocoImage const& image : coco.images) {
    json["images"].push_back(
        {{"id", image.id}, {"file_name", image.file}, {"height", image.height}, {"width", image.width}});
  }
  for (CocoAnnotation const& a : coco.annotations) {
    io::Json object = {
        {"id", a.id},     {"image_id", a.image},           {"category_id", a.category}, {"iscrowd", a.crowd ? 1 : 0},
        {"area", a.area}, {"bbox", detail::to_json(a.box)}};
    if (a.ignore) object["ignore"] = 1;
    if (!a.segmentation.empty()) object["segmentation"] = detail::to_json(a.segmentation, true);
    json["annotations"].push_back(std::move(object));
  }
  for (CocoCategory const& category : coco.categories) {
    json["categories"].push_back({{"id", category.id}, {"name", category.name}});
  }
  io::write_file(path, json.dump(-1, ' ', false, io::Json::error_handler_t::replace) + "\n");
}

/// A file of results, atomically. Masks are written as text.
inline void write_coco_results(io::Path const& path, std::span<CocoResult const> results) {
  io::Json json = io::Json::array();
  for (CocoResult const& r : results) {
    io::Json result = {
        {"image_id", r.image}, {"category_id", r.category}, {"score", r.score}, {"bbox", detail::to_json(r.box)}};
    if (!r.segmentation.empty()) result["segmentation"] = detail::to_json(r.segmentation, false);
    json.push_back(std::move(result));
  }
  io::write_file(path, json.dump() + "\n");
}

}  // namespace attn::detection
