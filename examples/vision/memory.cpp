// What a run of train_vision takes, as an estimate: sums of what each family leaves for the way back. Measured for
// each family in two sizes, training and evaluation, fp32 and bf16: tests/programs.
#include <algorithm>

#include "vision/settings.hpp"
#include "vision/task.hpp"

namespace vision {
namespace {

/// Numbers of one image.
struct Activations {
  double kept = 0;    // of all layers, for the way back
  double block = 0;   // of the largest layer alone, all that it has at once, and of what is in front of layers
  double copies = 0;  // in fp32, of the largest layer where numbers are of two bytes; more on the way back:
  double copies_back = 0;
};

/// Blocks on so many tokens. What a block has: inputs and outputs of its norms and products, and what functions leave.
void add_blocks(Activations& sum, Sizes const& s, double tokens, double width, int depth) {
  double const hidden = s.mlp_ratio * width, head = width / std::max(1, s.heads.first());
  double kept = 8 * width + 2 * hidden;  // two norms, queries, keys and values, attended, two sums; the MLP
  double block = 8 * width + std::max(2 * width, hidden);
  if (s.family == "vit" && s.layer_scale > 0) kept += 2 * width;
  if (s.family == "swin") kept += 2 * width, block += 2 * width;  // tokens in windows, and back
  if (s.family == "xcit") {
    kept += 9 * width;                                 // local patch interaction, and what is scaled
    kept += 4 * width * std::min(1.0, head / tokens);  // matrices of channels
    block += 2 * width;
  }
  sum.kept += tokens * kept * depth;
  sum.block = std::max(sum.block, tokens * block);
  sum.copies = std::max(sum.copies, tokens * (3 * width + std::max(3 * width, hidden)));
  sum.copies_back = std::max(sum.copies_back, tokens * 6 * width);
}

Activations activations_of(Sizes const& s) {
  double const pixels = double(s.image.height) * double(s.image.width);
  double tokens = pixels / (double(s.patch.height) * double(s.patch.width)), width = s.width;
  Activations sum;
  if (s.family == "vit") tokens += s.distilled ? 2 : s.pool == "token" ? 1 : 0;
  if (s.family == "xcit") {
    double cells = pixels;
    for (int side = s.patch.height; side > 1; side /= 2) {
      cells /= 4;
      double const channels = width * 2 / side;
      sum.kept += 4 * cells * channels;  // a convolution, its norm, and the function behind it with its slope
      sum.block = std::max(sum.block, 6 * cells * channels);
    }
    sum.kept += 7 * tokens * width * s.class_depth;
  }
  for (int const depth : s.depth.numbers) {
    add_blocks(sum, s, tokens, width, depth);
    if (s.family != "swin") continue;
    sum.kept += 1.5 * tokens * width;  // merging
    tokens /= 4, width *= 2;
  }
  return sum;
}

}  // namespace

io::MemoryPlan memory_of(Settings const& settings, Sizes const& s, bool trains, int ranks) {
  double const number = sizeof(float), of_activations = s.bf16 ? 2 : number, classes = s.classes;
  double const parameters = double(count_parameters(settings.activation, s));
  double const pixels = double(s.image.height) * double(s.image.width) * double(s.channels);
  double const batch =
      double(settings.recipe.batch) / double(attn::train::parts_of_step(settings.recipe.accumulate, ranks));
  double judged = double(VisionTask::most_at_once(s.image));
  if (settings.data.test_limit > 0) judged = std::min(judged, double(settings.data.test_limit));
  Activations const image = activations_of(s);
  io::MemoryPlan plan;
  plan.add("program", 25e6);
  // Values, gradients, two moments, and what of these is written to the disk.
  plan.add("parameters", number * parameters * (trains ? (settings.recipe.ema > 0 ? 9 : 7) : 2));
  // Training and evaluation use the same memory in turns.
  double const of_image = number * (2 * pixels + 6 * classes) + (s.bf16 ? number * image.copies : 0);
  double const back = s.bf16 ? number * image.copies_back : 0;
  double const of_batch = trains ? batch * (of_activations * (image.kept + image.block) + back + of_image) : 0;
  double const of_judging = judged * (of_activations * image.block + of_image);
  plan.add(of_batch > of_judging ? "activations of a batch" : "activations of evaluation",
           std::max(of_batch, of_judging));
  return plan;
}

}  // namespace vision
