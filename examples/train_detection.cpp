// Evaluates the results of a detector, boxes and masks, as COCO does.
//
//   train_detection --annotations instances_val2017.json --results results.json --evaluate --out run
#include "attn/io/options.hpp"

#include "detection/evaluation.hpp"

namespace {

class TrainDetection {
 public:
  train_detection::Settings common;
  attn::io::SettingList settings;

  void add_options(CLI::App& app) {
    app.description(
        "Evaluates what a detector found, boxes and masks, as COCO does.\nPrints the twelve figures of each and leaves "
        "them in results.json in --out: \"bbox\" and, where the results have segmentations, \"segm\".");
  }

  void run() const { train_detection::evaluate(common); }
};

}  // namespace

int main(int argc, char** argv) {
  TrainDetection program;
  return attn::io::run_main(argc, argv, program);
}
