/// A folder in COCO's layout with pictures of garments: train2017, val2017, annotations/instances_*.json.
#pragma once

#include "attn/data/encode_jpeg.hpp"
#include "attn/detection/coco_writer.hpp"
#include "attn/detection/garment_scenes.hpp"
#include "attn/detection/outline.hpp"

#include <filesystem>
#include <fstream>

namespace attn::detection {

/// The id of a kind of garment: as COCO's they begin at 1, ascend, and leave numbers out.
inline std::int64_t category_of_garment(int kind) { return 9 * std::int64_t(kind) + 1; }

/// Writes `count` scenes of `source` as folder/NAME/000000000001.jpg … and folder/annotations/instances_NAME.json, and
/// returns the annotations. Objects have polygons, crowds have runs; the area is that of the polygons' pixels. The same
/// files from the same key.
inline CocoAnnotations write_garment_images(data::Dataset const& source, std::size_t count,
                                            GarmentSceneOptions const& options, RandomKey key,
                                            std::filesystem::path const& folder, std::string const& name) {
  check(options, "write_garment_images");
  std::filesystem::create_directories(folder / name);
  std::filesystem::create_directories(folder / "annotations");
  CocoAnnotations coco;
  for (int kind = 0; kind < source.classes; ++kind) {
    coco.categories.push_back({category_of_garment(kind), source.name_of(kind)});
  }
  for (std::size_t i = 0; i < count; ++i) {
    GarmentScene const scene = draw_garments(source, options, subkey(key, i));
    char file[32];
    std::snprintf(file, sizeof file, "%012zu.jpg", i + 1);
    std::ofstream out(folder / name / file, std::ios::binary);
    ATTN_CHECK(out << data::encode_jpeg(scene.image) && out.flush(), "write_garment_images: cannot write '",
               (folder / name / file).string(), "'");
    CocoImage const image{std::int64_t(i + 1), file, std::uint32_t(scene.image.height),
                          std::uint32_t(scene.image.width)};
    coco.images.push_back(image);
    for (GarmentScene::Object const& object : scene.objects) {
      CocoAnnotation a{.id = std::int64_t(coco.annotations.size() + 1),
                       .image = image.id,
                       .category = category_of_garment(object.kind),
                       .crowd = object.crowd};
      if (object.crowd) a.segmentation.mask = object.mask;
      if (!object.crowd) a.segmentation.polygons = outlines(object.mask);
      MaskRle const mask = mask_of(a.segmentation, image.height, image.width);
      a.area = double(area(mask));
      a.box = bounding_box(mask);
      coco.annotations.push_back(std::move(a));
    }
  }
  write_coco_annotations(folder / "annotations" / ("instances_" + name + ".json"), coco);
  return coco;
}

}  // namespace attn::detection
