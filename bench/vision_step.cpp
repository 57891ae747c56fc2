// One training step of published vision models at 224 pixels: forward, cross-entropy, backward, AdamW; softmax.
//
//   vision_step [--peer=PYTHON] [--models=NAME,NAME,...] [--batch=8] [--rounds=3] [--seconds=10] [--profile]
//
// Models have timm's names; without --models they are DeiT-S, Swin-T and XCiT-S12/16. With a peer, timm's model takes
// the same step in PyTorch, eager and compiled, on the same number of threads and all processors. Ours and theirs take
// turns, as many as --rounds, each for --seconds and after steps to warm up; the fastest round of each counts (the
// median of its steps), so that a moment in which others use the machine decides nothing. --profile prints where our
// time goes.
#include "attn/activation/softmax.hpp"
#include "attn/io/options.hpp"
#include "attn/models/swin_names.hpp"
#include "attn/models/vit_names.hpp"
#include "attn/models/xcit_names.hpp"
#include "attn/nn/loss.hpp"
#include "attn/optim/adamw.hpp"

#include <algorithm>
#include <functional>
#include <memory>

#include "peak.hpp"
#include "peers.hpp"
#include "profile.hpp"

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
  int rounds = 3;
  double seconds = 10;
  bool profile = false;
  std::string python = {};
};

void describe(attn::io::SettingList& list, Arguments& a) {
  list("models", a.models, {.help = "timm's names, separated by commas"});
  list("batch", a.batch, {.help = "Images of a step", .range = {1, 1e6}});
  list("rounds", a.rounds, {.help = "Turns that each takes", .range = {1, 1000}});
  list("seconds", a.seconds, {.help = "Of each turn, at least", .range = {0, 3600}});
  list("profile", a.profile, {.help = "Print where our time goes"});
}

double median(std::vector<double> seconds) {
  auto const middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  return *middle;
}

/// The median of at least three steps, and as many as take `seconds`; one before them warms up.
double measure(std::function<void()> const& step, double seconds) {
  step();
  std::vector<double> all;
  auto const begin = std::chrono::steady_clock::now();
  do {
    auto const start = std::chrono::steady_clock::now();
    step();
    all.push_back(bench::seconds_since(start));
  } while (all.size() < 3 || bench::seconds_since(begin) < seconds);
  return median(all);
}

/// The median that the script reports, infinite where it cannot be run.
double measure_peer(Arguments const& a, std::string const& model, std::string const& way) {
  std::string const flags = "--model " + model + " --batch " + std::to_string(a.batch) + " --min-time " +
                            std::to_string(a.seconds) + " --threads " + std::to_string(Exec().concurrency()) +
                            (way == "eager" ? "" : " --" + way);
  auto const reports = bench::ask_peer(a.python, "vision_step.py", flags);
  if (reports.empty()) return 1e300;
  static bool const said = (bench::print_peer(reports.front()), true);
  (void)said;
  return reports.front()["seconds"];
}

void compare(Arguments const& a, std::string const& model) {
  auto const step = step_of(model, a.batch);
  if (!step) {
    std::printf("%s: there is no such model here\n", model.c_str());
    return;
  }
  step();  // takes the memory
  double ours = 1e300;
  std::map<std::string, double> theirs;
  for (int round = 0; round < a.rounds; ++round) {
    ours = std::min(ours, measure(step, a.seconds));
    if (a.python.empty()) continue;
    for (std::string const way : {"eager", "compile"}) {
      double const seconds = measure_peer(a, model, way);
      auto const [found, is_new] = theirs.emplace(way, seconds);
      found->second = std::min(found->second, seconds);
    }
  }
  std::printf("%-36s batch %td %10.1f ms %8.2f images/s", model.c_str(), a.batch, ours * 1e3, double(a.batch) / ours);
  double fastest = 1e300;
  for (auto const& [way, seconds] : theirs) {
    if (seconds == 1e300) continue;
    std::printf(", timm %s %.1f ms", way.c_str(), seconds * 1e3);
    fastest = std::min(fastest, seconds);
  }
  if (fastest < 1e300) std::printf(": %.2f times as fast", fastest / ours);
  std::printf("\n");
  std::fflush(stdout);
  if (!a.profile) return;
  constexpr int steps = 3;
  bench::Profile profile;
  for (int i = 0; i < steps; ++i) step();
  profile.print(model, steps);
}

}  // namespace

int main(int argc, char** argv) {
  Arguments a{.python = bench::take_peer(argc, argv)};
  attn::io::SettingList settings;
  describe(settings, a);
  CLI::App app("Training steps of published vision models", "vision_step");
  attn::io::add_options(app, settings);
  CLI11_PARSE(app, argc, argv);
  Kokkos::ScopeGuard const kokkos;
  std::printf("%s, commit %s, %d threads; the same number for PyTorch\n", attn::io::describe_machine().c_str(),
              built_from_commit, Exec().concurrency());
  for (std::string const& model : a.models) compare(a, model);
  return 0;
}
