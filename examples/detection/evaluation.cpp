#include "detection/evaluation.hpp"

#include "attn/detection/coco_json.hpp"
#include "attn/detection/evaluation.hpp"
#include "attn/io/output_directory.hpp"
#include "attn/io/results.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "commit.hpp"

namespace train_detection {
namespace {

namespace detection = attn::detection;

void take_notes(detection::CocoNotes const& notes, io::Json& list) {
  for (detection::CocoNote const& note : notes.all()) {
    std::printf("note: %s\n", note.text().c_str());
    list.push_back({{"what", note.what}, {"count", note.count}, {"first", note.first}});
  }
}

/// Why masks are not evaluated; null where they are.
char const* without_masks(detection::CocoAnnotations const& coco, detection::CocoResults const& results) {
  auto const& all = coco.annotations;
  bool const none = std::all_of(all.begin(), all.end(), [](auto const& a) { return a.segmentation.empty(); });
  if (!results.has_masks && !results.results.empty()) return "the results have no segmentations";
  return none && !all.empty() ? "the annotations have no segmentations" : nullptr;
}

}  // namespace

void evaluate(Settings const& s) {
  auto const start = std::chrono::steady_clock::now();
  io::OutputDirectory const out(s.out);
  out.without_run();
  detection::CocoAnnotations const coco = detection::read_coco_annotations(s.annotations);
  detection::CocoResults const results = detection::read_coco_results(s.results, coco);
  std::printf("%zu images, %zu objects of %zu categories, %zu results\n", coco.images.size(), coco.annotations.size(),
              coco.categories.size(), results.results.size());
  io::Json notes = io::Json::array();
  take_notes(coco.notes, notes);
  take_notes(results.notes, notes);

  io::Json json = {{"machine", io::describe_machine()},     {"commit", built_from_commit},
                   {"annotations", s.annotations.string()}, {"results", s.results.string()},
                   {"images", coco.images.size()},          {"objects", coco.annotations.size()},
                   {"detections", results.results.size()},  {"notes", notes}};
  io::Json categories = io::Json::array();
  for (auto const& category : coco.categories) categories.push_back({{"id", category.id}, {"name", category.name}});
  auto const judge = [&](char const* kind, char const* things, detection::CocoRegion region) {
    auto const evaluation = detection::evaluate_coco(coco, results, region);
    std::printf("\n%s (%s)\n%s", things, kind, detection::coco_table(evaluation.figures).c_str());
    json[kind] = evaluation.figures;
    for (std::size_t i = 0; i < categories.size(); ++i) categories[i][kind] = evaluation.category_precision[i];
  };
  judge("bbox", "boxes", detection::CocoRegion::box);
  char const* const why = without_masks(coco, results);
  if (why == nullptr) judge("segm", "masks", detection::CocoRegion::mask);
  if (why != nullptr) std::printf("\nmasks (segm) are not evaluated: %s\n", why);
  json["categories"] = categories;
  json["seconds"] = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  io::write_file(out / "results.json", json.dump(2, ' ', false, io::Json::error_handler_t::replace) + "\n");
}

}  // namespace train_detection
