// One training step of published vision models at 224 pixels: forward, cross-entropy, backward, AdamW; softmax.
//
//   vision_step [--peer=PYTHON [--rounds=7] [--turn=0.3]] [--models=NAME,NAME,...] [--batch=8] [--seconds=10]
//   [--profile]
//
// Models have timm's names; without --models they are DeiT-S, Swin-T and XCiT-S12/16. Our figure is the median of the
// steps within --seconds. With a peer, timm's model takes the same step in PyTorch, eager and compiled, on the same
// number of threads and all processors, in turns with ours. --profile prints where our time goes.
#include "attn/activation/softmax.hpp"
#include "attn/models/swin_names.hpp"
#include "attn/models/vit_names.hpp"
#include "attn/models/xcit_names.hpp"
#include "attn/nn/loss.hpp"
#include "attn/optim/adamw.hpp"

#include <functional>
#include <memory>

#include "timed_steps.hpp"

namespace {

using attn::Index;
using bench::Exec;
using Context = attn::nn::Context<Exec>;

/// A model, its optimizer and a batch: takes a step when called.
template <class Model>
class Trainer {
 public:
  Trainer(typename Model::Config const& config, Index batch)
      : model_(ctx_, config),
        adamw_(ctx_, {.learning_rate = 1e-3, .weight_decay = 0.05}),
        images_("images", batch, config.channels, config.image_height, config.image_width),
        labels_("labels", batch) {
    bench::fill_at_random(ctx_.exec, images_, 2);
    auto const host = Kokkos::create_mirror_view(labels_);
    for (Index b = 0; b < batch; ++b) host(b) = static_cast<std::int32_t>(b % config.classes);
    Kokkos::deep_copy(labels_, host);
  }

  void operator()() {
    ctx_.begin_step();
    ctx_.parameters.zero_gradients(ctx_.exec);
    auto [logits, tape] = model_.forward(ctx_, attn::Tensor<float const, 4>(images_));
    auto [loss, d_logits] = attn::nn::cross_entropy(ctx_, logits, attn::Tensor<std::int32_t const, 1>(labels_));
    model_.backward(ctx_, std::move(tape), d_logits);
    adamw_.step(ctx_);
    ctx_.exec.fence();
    ++ctx_.step;
  }

 private:
  Context ctx_{1};
  Model model_;
  attn::optim::AdamW<float, Context::MemorySpace> adamw_;
  Kokkos::View<float****, Kokkos::LayoutRight, Exec> images_;
  Kokkos::View<std::int32_t*, Exec> labels_;
};

template <class Model>
std::function<void()> step_of(typename Model::Config const& config, Index batch) {
  auto const trainer = std::make_shared<Trainer<Model>>(config, batch);
  return [trainer] { (*trainer)(); };
}

/// None where there is no such model.
std::function<void()> step_of(std::string const& name, Index batch) {
  using namespace attn::models;
  using attn::Softmax;
  if (auto const config = vit_config<Softmax>(name)) return step_of<Vit<VitBlock<Softmax>>>(*config, batch);
  if (auto const config = swin_config<Softmax>(name)) return step_of<Swin<Softmax>>(*config, batch);
  if (auto const config = xcit_config<Softmax>(name)) return step_of<Xcit<Softmax>>(*config, batch);
  return {};
}

struct Arguments {
  std::vector<std::string> models = {"deit_small_patch16_224", "swin_tiny_patch4_window7_224", "xcit_small_12_p16_224"};
  Index batch = 8;
  bench::TimedSteps timed;
};

void describe(attn::io::SettingList& list, Arguments& a) {
  list("models", a.models, {.help = "timm's names, separated by commas"});
  list("batch", a.batch, {.help = "Images of a step", .range = {1, 1e6}});
  bench::describe(list, a.timed);
}

void measure(Arguments const& a, std::string const& model, bench::Peers& peers) {
  auto const step = step_of(model, a.batch);
  if (!step) {
    std::printf("%s: there is no such model here\n", model.c_str());
    return;
  }
  step();  // takes the memory
  bench::time_steps(a.timed, "vision_step/" + model + "/" + std::to_string(a.batch), a.batch, step, peers);
}

}  // namespace

int main(int argc, char** argv) {
  bench::Peers peers(argc, argv, "vision_step.py");
  return bench::step_program<Arguments>(argc, argv, peers, "vision_step", "Training steps of published vision models",
                                        [&](Arguments const& a) {
                                          for (std::string const& model : a.models) measure(a, model, peers);
                                        });
}
