// The same bytes as annotations, as results, and as the text of a mask; what can be read is evaluated.
#include "attn/detection/coco_json.hpp"
#include "attn/detection/evaluation.hpp"

#include "fuzz/memory_file.hpp"

int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
  using namespace attn::detection;
  using attn::testing::refuse_or_read;
  std::string_view const text(reinterpret_cast<char const*>(bytes), size);
  auto const evaluate = [](CocoAnnotations const& coco, CocoResults const& results) {
    refuse_or_read([&] { evaluate_coco(coco, results, CocoRegion::box); });
    refuse_or_read([&] { evaluate_coco(coco, results, CocoRegion::mask); });
  };
  refuse_or_read([&] { evaluate(parse_coco_annotations(text, "annotations"), {}); });
  refuse_or_read([&] {
    static CocoAnnotations const coco = parse_coco_annotations(
        R"({"images": [{"id": 1, "height": 9, "width": 7}], "categories": [{"id": 1}], "annotations": [{"id": 1,
            "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "area": 12, "segmentation": [[1, 2, 4, 2, 4, 6]]}]})",
        "annotations");
    evaluate(coco, parse_coco_results(text, "results", coco));
  });
  return refuse_or_read([&] { bounding_box(mask_from_text(text, 9, 7)); });
}
