// One training step of a Mask R-CNN on an XCiT: five losses, their gradients, AdamW; softmax.
//
//   detection_step [--peer=PYTHON [--rounds=7] [--turn=0.3]] [--cases=NAME/BATCH/HEIGHT/WIDTH/REGIONS,...]
//   [--seconds=10] [--profile]
//
// NAME is that of a detector (tiny, small_12_p16, ...), sizes are in pixels, and REGIONS are those of a picture that
// are learned from. A picture has a quarter as many objects, so that a model that knows nothing learns as many masks as
// one that knows all. Our figure is the median of the steps within --seconds; memory is the most that the process had,
// and what the model's tensors took of it. With a peer, timm's XCiT in torchvision's Mask R-CNN takes the same step in
// PyTorch, on the same number of threads and all processors, in turns with ours. --profile prints where our time goes.
#include "attn/activation/softmax.hpp"
#include "attn/models/mask_rcnn_names.hpp"
#include "attn/optim/adamw.hpp"

#include <sys/resource.h>

#include "timed_steps.hpp"

namespace {

using attn::Index;
using bench::Exec;
using Context = attn::nn::Context<Exec>;
using Model = attn::models::MaskRcnn<attn::Softmax>;
namespace detection = attn::detection;

struct Case {
  std::string model;
  Index batch, height, width, regions;
};

/// "tiny/8/128/160/64".
Case parsed(std::string const& name) {
  std::vector<std::string> parts(1);
  for (char const c : name) {
    if (c == '/') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  Case c{parts[0], 0, 0, 0, 0};
  Index* const numbers[] = {&c.batch, &c.height, &c.width, &c.regions};
  for (std::size_t i = 1; i < parts.size() && i <= 4; ++i) *numbers[i - 1] = std::atoi(parts[i].c_str());
  bool const positive = c.batch > 0 && c.height > 0 && c.width > 0 && c.regions > 0;
  ATTN_CHECK(parts.size() == 5 && positive, "--cases: give NAME/BATCH/HEIGHT/WIDTH/REGIONS, got '", name, "'");
  return c;
}

attn::models::MaskRcnnConfig<attn::Softmax> config_of(Case const& c) {
  auto config = attn::models::mask_rcnn_config<attn::Softmax>(c.model);
  ATTN_CHECK(config.has_value(), "--cases: there is no detector '", c.model, "'");
  config->regions.sample.count = c.regions;
  if (c.model == "tiny") config->train_proposals.count = 300;
  return *config;
}

/// A model, its optimizer and a batch: takes a step when called.
class Trainer {
 public:
  explicit Trainer(Case const& c)
      : model_(ctx_, config_of(c)),
        adamw_(ctx_, {.learning_rate = 1e-4, .weight_decay = 0.05}),
        height_(padded(c.height)),
        width_(padded(c.width)),
        pixels_("pixels", c.batch, 3, height_, width_),
        boxes_("boxes", c.batch * (c.regions / 4), 4),
        labels_("labels", boxes_.extent(0)),
        masks_("masks", boxes_.extent(0), height_, width_),
        sizes_(std::size_t(c.batch), {c.height, c.width}) {
    bench::fill_at_random(ctx_.exec, pixels_, 2);
    place_objects(c);
  }

  void operator()() {
    ctx_.begin_step();
    ctx_.parameters.zero_gradients(ctx_.exec);
    detection::Truths<Context::MemorySpace> const truths{attn::Tensor<float const, 2>(boxes_),
                                                         attn::Tensor<std::int32_t const, 1>(labels_),
                                                         attn::Tensor<std::uint8_t const, 3>(masks_), first_};
    model_.accumulate_gradients<Context>(ctx_, {attn::Tensor<float const, 4>(pixels_), sizes_}, truths,
                                         {.seed = std::uint64_t(ctx_.step)});
    adamw_.step(ctx_);
    ctx_.exec.fence();
    ++ctx_.step;
  }

  Index parameters() const { return ctx_.parameters.count(); }
  std::size_t bytes() const { return ctx_.workspace.capacity(); }

 private:
  static Index padded(Index side) { return (side + 31) / 32 * 32; }

  /// Ellipses in boxes of a tenth to a half of the shorter side.
  void place_objects(Case const& c) {
    auto const boxes = Kokkos::create_mirror_view(boxes_);
    auto const labels = Kokkos::create_mirror_view(labels_);
    auto const masks = Kokkos::create_mirror_view(masks_);
    auto const shorter = double(std::min(c.height, c.width));
    Index const classes = model_.config().classes;
    for (Index g = 0; g < Index(boxes.extent(0)); ++g) {
      auto const fraction = [&](double step) { return std::fmod(step * double(g + 1), 1.0); };
      double const h = shorter * (0.1 + 0.4 * fraction(0.381966)), w = shorter * (0.1 + 0.4 * fraction(0.618034));
      double const y = (double(c.height) - h) * fraction(0.754878), x = (double(c.width) - w) * fraction(0.569840);
      double const corners[] = {x, y, x + w, y + h};
      for (int k = 0; k < 4; ++k) boxes(g, k) = float(corners[k]);
      labels(g) = std::int32_t(g % classes);
      for (Index i = Index(y); i < Index(y + h); ++i) {
        for (Index j = Index(x); j < Index(x + w); ++j) {
          double const down = (double(i) + 0.5 - y) / h - 0.5, right = (double(j) + 0.5 - x) / w - 0.5;
          masks(g, i, j) = down * down + right * right < 0.25 ? 1 : 0;
        }
      }
    }
    Kokkos::deep_copy(boxes_, boxes);
    Kokkos::deep_copy(labels_, labels);
    Kokkos::deep_copy(masks_, masks);
    for (Index b = 0; b <= c.batch; ++b) first_.push_back(b * (c.regions / 4));
  }

  Context ctx_{1};
  Model model_;
  attn::optim::AdamW<float, Context::MemorySpace> adamw_;
  Index height_, width_;
  Kokkos::View<float****, Kokkos::LayoutRight, Exec> pixels_;
  Kokkos::View<float**, Kokkos::LayoutRight, Exec> boxes_;
  Kokkos::View<std::int32_t*, Exec> labels_;
  Kokkos::View<std::uint8_t***, Kokkos::LayoutRight, Exec> masks_;
  std::vector<attn::nn::Size2> sizes_;
  std::vector<Index> first_;
};

struct Arguments {
  std::vector<std::string> cases = {"tiny/8/128/160/64", "small_12_p16/1/800/1333/512"};
  bench::TimedSteps timed;
};

void describe(attn::io::SettingList& list, Arguments& a) {
  list("cases", a.cases, {.help = "NAME/BATCH/HEIGHT/WIDTH/REGIONS, separated by commas"});
  bench::describe(list, a.timed);
}

double most_gigabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return double(usage.ru_maxrss) * 1024e-9;
}

void measure(Arguments const& a, std::string const& name, bench::Peers& peers) {
  Case const c = parsed(name);
  Trainer trainer(c);
  auto const step = [&] { trainer(); };
  step();  // takes the memory
  char memory[96];
  std::snprintf(memory, sizeof memory, ", %td parameters, %.2f GB, tensors %.2f GB", trainer.parameters(),
                most_gigabytes(), double(trainer.bytes()) * 1e-9);
  bench::time_steps(a.timed, "detection_step/" + name, c.batch, step, peers, memory);
}

}  // namespace

int main(int argc, char** argv) {
  bench::Peers peers(argc, argv, "detection_step.py");
  return bench::step_program<Arguments>(argc, argv, peers, "detection_step", "Training steps of Mask R-CNN",
                                        [&](Arguments const& a) {
                                          for (std::string const& name : a.cases) measure(a, name, peers);
                                        });
}
