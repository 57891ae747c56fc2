/// CocoImages: pictures of a folder in COCO's layout with their objects, as a detector learns from them.
#pragma once

#include "attn/data/file_images.hpp"
#include "attn/data/fitted_image.hpp"
#include "attn/detection/coco.hpp"
#include "attn/detection/picture_plan.hpp"

#include <filesystem>
#include <string>
#include <vector>

namespace attn::detection {

/// One picture as a detector sees it.
struct DetectionSample {
  std::size_t number = 0;  ///< of the annotations' list of images
  PicturePlan plan = {};
  nn::Size2 picture = {};          ///< the size of the file
  std::vector<float> pixels = {};  ///< (3, plan.size.height, plan.size.width), normalized
  std::vector<CornerBox> boxes = {};
  std::vector<std::int32_t> labels = {};  ///< places in the list of categories
  std::vector<MaskRle> masks = {};        ///< of the size of the plan
};

/// How pictures are read.
struct CocoImagesOptions {
  PictureSizes sizes = {};
  bool for_training = true;  ///< leave out pictures without objects that are learned, and such with a side below 32
  data::UnreadableImages* unreadable = nullptr;                 ///< as `data::FileImagesOptions`
  Kokkos::Array<float, 3> mean = {123.675f, 116.28f, 103.53f};  ///< of red, green and blue bytes
  Kokkos::Array<float, 3> deviation = {58.395f, 57.12f, 57.375f};
};

/// A source (data/source.hpp) of the pictures that `coco` lists, in `folder`. Objects of which a detector does not
/// learn
/// (`is_learned`), those of which nothing is seen and those that have no segmentation are left out.
class CocoImages {
 public:
  using Sample = DetectionSample;

  /// `coco` must outlive this. Throws where no picture is left, or where objects lie in pictures of unknown size.
  CocoImages(CocoAnnotations const& coco, std::filesystem::path folder, CocoImagesOptions options = {})
      : coco_(coco), folder_(std::move(folder)), options_(std::move(options)), objects_(coco.images.size()) {
    for (std::size_t a = 0; a < coco.annotations.size(); ++a) {
      CocoAnnotation const& object = coco.annotations[a];
      auto const image = index_of_id(coco.images, object.image);
      if (image < 0 || index_of_id(coco.categories, object.category) < 0) continue;  // noted by the reader
      if (is_learned(object, coco.images[std::size_t(image)]) && !object.segmentation.empty()) {
        objects_[std::size_t(image)].push_back(a);
      }
    }
    for (std::size_t i = 0; i < objects_.size(); ++i) {
      CocoImage const& image = coco.images[i];
      if (options_.for_training && (objects_[i].empty() || std::min(image.height, image.width) < 32)) continue;
      used_.push_back(i);
    }
    ATTN_CHECK(!used_.empty(), "CocoImages: give annotations of at least one picture that can be used, got ",
               coco.images.size(), " pictures and ", coco.annotations.size(), " objects");
  }

  std::size_t size() const { return used_.size(); }
  /// The place of sample `i` in the annotations' list of images.
  std::size_t number(std::size_t i) const { return used_[i]; }
  /// Whether sample `i` is wider than high, as the annotations have it.
  bool is_wide(std::size_t i) const {
    CocoImage const& image = coco_.images[used_[i]];
    return image.width > image.height;
  }
  CocoAnnotations const& annotations() const { return coco_; }

  void sample(std::size_t i, RandomKey key, DetectionSample& out) const {
    for (std::size_t attempt = 0;; ++attempt) {
      std::size_t const at = (i + attempt) % size();
      try {
        return read(used_[at], key, out);
      } catch (Error const& e) {
        if (options_.unreadable == nullptr || !options_.for_training) throw;
        options_.unreadable->add(used_[at], e.what());
        ATTN_CHECK(attempt + 1 < std::min(std::size_t(1000), size()), "CocoImages: none of ", attempt + 1,
                   " files in a row can be read; the last fault: ", e.what());
      }
    }
  }

 private:
  void read(std::size_t number, RandomKey key, DetectionSample& out) const {
    thread_local std::vector<unsigned char> bytes;
    thread_local data::Image stored, seen;
    CocoImage const& image = coco_.images[number];
    std::filesystem::path const path = folder_ / image.file;
    data::read_bytes(path, bytes);
    data::EncodedImage encoded(bytes, path.string());
    out.number = number;
    out.picture = {Index(encoded.height()), Index(encoded.width())};
    ATTN_CHECK(
        (image.height == 0 && image.width == 0) || out.picture == nn::Size2(Index(image.height), Index(image.width)),
        "CocoImages: '", path.string(), "' has ", encoded.height(), " x ", encoded.width(),
        " pixels, its annotations say ", image.height, " x ", image.width);
    out.plan = plan_picture(out.picture, options_.sizes, key);
    auto const height = std::size_t(out.plan.size.height), width = std::size_t(out.plan.size.width);
    data::ImageBox const part = encoded.decode(out.plan.part, height, width, stored);
    data::fit(stored, part, height, width, 3, data::Filter::bilinear, seen);
    normalize(seen, out);
    out.boxes.clear();
    out.labels.clear();
    out.masks.clear();
    for (std::size_t const a : objects_[number]) {
      CocoAnnotation const& object = coco_.annotations[a];
      CornerBox const box = out.plan.box(object.box);
      if (!(box.width() > 0 && box.height() > 0)) continue;
      out.boxes.push_back(box);
      out.labels.push_back(std::int32_t(index_of_id(coco_.categories, object.category)));
      out.masks.push_back(out.plan.mask(object.segmentation));
    }
  }

  void normalize(data::Image const& seen, DetectionSample& out) const {
    std::size_t const plane = seen.height * seen.width;
    out.pixels.resize(3 * plane);
    for (std::size_t c = 0; c < 3; ++c) {
      float const scale = 1 / options_.deviation[c], mean = options_.mean[c];
      for (std::size_t y = 0; y < seen.height; ++y) {
        std::uint8_t const* const row = seen.at(y, 0);
        float* const to = &out.pixels[c * plane + y * seen.width];
        for (std::size_t x = 0; x < seen.width; ++x) {
          std::size_t const from = out.plan.flipped ? seen.width - 1 - x : x;
          to[x] = (float(row[3 * from + c]) - mean) * scale;
        }
      }
    }
  }

  CocoAnnotations const& coco_;
  std::filesystem::path folder_;
  CocoImagesOptions options_;
  std::vector<std::vector<std::size_t>> objects_;  // of each image: places in the list of annotations
  std::vector<std::size_t> used_;
};

}  // namespace attn::detection
