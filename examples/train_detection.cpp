// Trains a Mask R-CNN on an XCiT with any activation, judges it as COCO does, and looks at pictures with it; evaluates
// the results of any detector; and writes a data set for detectors.
//
//   train_detection --generate garments --train-images 2000 --val-images 300
//   train_detection --data garments --model tiny --out run
//   train_detection --data garments --weights run/weights.safetensors --evaluate --out judged
//   train_detection --weights run/weights.safetensors --predict pictures --out seen
//   train_detection --annotations instances_val2017.json --results results.json --evaluate --out judged
#include "attn/io/options.hpp"

#include "detection/evaluation.hpp"
#include "detection/generator.hpp"
#include "detection/training.hpp"

namespace {

class TrainDetection {
 public:
  train_detection::Settings common;
  attn::io::SettingList settings;

  void add_options(CLI::App& app) {
    app.description(
        "Trains a detector of objects and their pixels on pictures in COCO's layout (--data), by default as published, "
        "and judges it by COCO's twelve figures of boxes and of masks.\nLeaves results.json, metrics.csv, "
        "weights.safetensors, checkpoint.safetensors, detections.json, pictures and figures in --out.\n"
        "With --results it judges what another detector found, with --predict it looks at pictures, and with "
        "--generate it writes pictures of garments in COCO's layout.");
  }

  int run() {
    bool const judges_results = settings.given("annotations") || settings.given("results");
    if (settings.given("generate")) {
      ATTN_CHECK(!common.evaluate, "--generate: leave out --evaluate, one of both is done at a time");
      train_detection::generate(common);
    } else if (judges_results) {
      ATTN_CHECK(settings.given("annotations") && settings.given("results") && common.evaluate,
                 "give --annotations FILE --results FILE --evaluate; --help lists the flags");
      train_detection::evaluate(common);
    } else if (settings.given("predict")) {
      ATTN_CHECK(settings.given("weights"), "--predict: give --weights");
      train_detection::predict(common, settings);
    } else {
      ATTN_CHECK(settings.given("data"),
                 "give --data FOLDER to train, --annotations FILE --results FILE --evaluate, --predict FOLDER, or "
                 "--generate FOLDER; --help lists the flags");
      if (!common.evaluate) return train_detection::train(common, settings);
      ATTN_CHECK(settings.given("weights"), "--evaluate: give --weights, or --annotations and --results");
      train_detection::judge(common, settings);
    }
    return 0;
  }
};

}  // namespace

int main(int argc, char** argv) {
  TrainDetection program;
  return attn::io::run_main(argc, argv, program);
}
