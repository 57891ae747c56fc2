// Evaluates the results of a detector, boxes and masks, as COCO does; and writes a data set for detectors.
//
//   train_detection --annotations instances_val2017.json --results results.json --evaluate --out run
//   train_detection --generate garments --train-images 2000 --val-images 300
#include "attn/io/options.hpp"

#include "detection/evaluation.hpp"
#include "detection/generator.hpp"

namespace {

class TrainDetection {
 public:
  train_detection::Settings common;
  attn::io::SettingList settings;

  void add_options(CLI::App& app) {
    app.description(
        "Evaluates what a detector found, boxes and masks, as COCO does: prints the twelve figures of each and leaves "
        "them in results.json in --out, \"bbox\" and, where the results have segmentations, \"segm\".\n"
        "With --generate it writes pictures of garments in COCO's layout instead.");
  }

  void run() const {
    bool const given = settings.given("annotations") && settings.given("results") && common.evaluate;
    if (settings.given("generate")) {
      ATTN_CHECK(!common.evaluate, "--generate: leave out --evaluate, one of both is done at a time");
      train_detection::generate(common);
    } else {
      ATTN_CHECK(given,
                 "give --annotations FILE --results FILE --evaluate, or --generate FOLDER; --help lists the flags");
      train_detection::evaluate(common);
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  TrainDetection program;
  return attn::io::run_main(argc, argv, program);
}
