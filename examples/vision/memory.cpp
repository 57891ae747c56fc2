// What a run of train_vision takes, as an estimate: sums of what each family leaves for the way back.
#include <algorithm>

#include "vision/settings.hpp"
#include "vision/task.hpp"

namespace vision {
namespace {

/// Numbers that one image leaves in a block, for each token of `width` numbers and an MLP of `hidden`.
double block_numbers(Sizes const& s, double width) {
  double const hidden = s.mlp_ratio * width;
  if (s.family == "xcit") return 16 * width + 2 * hidden;  // local patch interaction, too
  if (s.family == "swin") return 12 * width + 2 * hidden;  // copies in windows, too
  return 9 * width + 2 * hidden;
}

/// Numbers that one image leaves in all blocks, and in what is in front of them.
double image_numbers(Sizes const& s) {
  double const pixels = double(s.image.height) * double(s.image.width);
  double tokens = pixels / (double(s.patch.height) * double(s.patch.width)), width = s.width, sum = 0;
  if (s.family == "xcit") {
    double cells = pixels;
    for (int side = s.patch.height; side > 1; side /= 2) {
      cells /= 4;
      sum += 3 * cells * width * 2 / side;  // a convolution, its norm and the function behind it
    }
  }
  for (int const depth : s.depth.numbers) {
    sum += tokens * block_numbers(s, width) * (depth + (s.family == "vit" ? 1 : 0));
    if (s.family == "swin") tokens /= 4, width *= 2;
  }
  return sum;
}

}  // namespace

io::MemoryPlan memory_of(Settings const& settings, Sizes const& s, bool trains) {
  double const number = sizeof(float), classes = s.classes;
  double const parameters = double(count_parameters(settings.activation, s)), image = image_numbers(s);
  double const batch = double(settings.recipe.batch) / double(settings.recipe.accumulate);
  double const judged = double(VisionTask::most_at_once(s.image));
  double const layers = std::max(1, s.depth.total());
  io::MemoryPlan plan;
  plan.add("program", 25e6);
  // Values, gradients, two moments, and what of these is written to the disk.
  plan.add("parameters", number * parameters * (trains ? (settings.recipe.ema > 0 ? 9 : 7) : 2));
  // Training and evaluation use the same memory in turns.
  double const of_batch = trains ? batch * (image + 6 * classes) : 0;
  double const of_judging = judged * (image / layers + 3 * classes);
  plan.add(of_batch > of_judging ? "activations of a batch" : "activations of evaluation",
           number * std::max(of_batch, of_judging));
  return plan;
}

}  // namespace vision
