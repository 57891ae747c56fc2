#include "detection/generator.hpp"

#include "attn/data/idx.hpp"
#include "attn/detection/garment_folder.hpp"
#include "attn/io/output_directory.hpp"

#include <cstdio>

namespace train_detection {

void generate(Settings const& s) {
  namespace data = attn::data;
  attn::detection::GarmentSceneOptions const options{
      .least_side = s.least_side, .most_side = s.most_side, .most_objects = s.most_objects};
  check(options, "--least-side, --most-side, --most-objects");
  std::error_code ignored;
  for (char const* const file : {"instances_train2017.json", "instances_val2017.json"}) {
    std::error_code ignored;
    ATTN_CHECK(!std::filesystem::exists(s.generate / "annotations" / file, ignored), "--generate: '",
               s.generate.string(), "' holds a data set, which would be written over; name another folder");
  }
  data::Split const source =
      s.source.empty() ? data::load_fashion_mnist() : data::load_idx_split(data::idx_paths(s.source));
  io::OutputDirectory const out(s.generate);
  auto const write = [&](data::Dataset const& garments, int count, char const* name) {
    auto const coco = attn::detection::write_garment_images(
        garments, std::size_t(count), options, attn::subkey(attn::RandomKey{.seed = s.seed}, name), out.path(), name);
    std::printf("%s/%s: %zu images, %zu objects\n", out.path().c_str(), name, coco.images.size(),
                coco.annotations.size());
  };
  write(source.train, s.train_images, "train2017");
  write(source.test, s.val_images, "val2017");
}

}  // namespace train_detection
