// Pictures a second that the data side prepares for a training with DeiT's recipe: read, decoded, cropped at random to
// 224 x 224 (bicubic), mirrored, changed by RandAugment (rand-m9-mstd0.5-inc1), normalized, partly erased, in batches.
//
//   pipeline --data DIR [--peer=PYTHON [--rounds=3]] [--workers=2] [--batch=64] [--seconds=10] [--whole]
//
// DIR is a folder of folders, one for each class. With a peer, PyTorch's DataLoader prepares the same pictures in as
// many processes, in two ways: by timm's transforms of Pillow's pictures, which the recipe was published with, and by
// torchvision's transforms (v2) of tensors. All take turns, as many as --rounds; the fastest round of each counts. A
// peer's processes end with its turn, because a loader that waited would fill its queues while we are timed. We
// decode a picture at a half or less of its size where the crop is that much larger than what becomes of it, and only
// the rows of the crop; --whole decodes all of every picture, as the peers do.
#include "attn/data/batches.hpp"
#include "attn/data/file_images.hpp"
#include "attn/data/image_files.hpp"
#include "attn/data/train_transform.hpp"
#include "attn/io/options.hpp"
#include "attn/io/report.hpp"

#include <algorithm>
#include <cstdio>
#include <exception>
#include <limits>
#include <map>
#include <string>
#include <thread>

#include "peak.hpp"
#include "peers.hpp"

namespace {

struct Arguments {
  std::string data;
  std::size_t workers = std::max(1u, std::thread::hardware_concurrency());
  std::size_t batch = 64;
  int rounds = 3;
  double seconds = 10;
  bool whole = false;
};

void describe(attn::io::SettingList& list, Arguments& a) {
  list("data", a.data, {.help = "Folder of folders of pictures, one for each class", .required = true});
  list("workers", a.workers, {.help = "Threads of ours, processes of the peer's", .range = {1, 1024}});
  list("batch", a.batch, {.help = "Pictures of a batch", .range = {1, 65536}});
  list("rounds", a.rounds, {.help = "Turns that each takes", .range = {1, 1000}});
  list("seconds", a.seconds, {.help = "Of each turn, at least", .range = {0, 3600}});
  list("whole", a.whole, {.help = "Decode pictures whole and in full size"});
}

/// Numbers of DeiT's recipe (Touvron et al. 2021, table 9).
attn::data::Augmentation augmentation() {
  return {
      .resized_crop = true, .flip_probability = 0.5, .auto_augment = "rand-m9-mstd0.5-inc1", .erase_probability = 0.25};
}

double pictures_per_second(attn::data::ImageFiles const& files, Arguments const& a, std::uint64_t round) {
  using namespace attn::data;
  Normalization const imagenet{.mean = {0.485f, 0.456f, 0.406f}, .deviation = {0.229f, 0.224f, 0.225f}};
  FileImagesOptions options;
  options.decode.scaled = !a.whole;
  FileImages<float, TrainTransform<float>> const images(files, {224, 224, imagenet, augmentation()}, options);
  TrainingBatches batches(images, {.batch_size = a.batch, .key = {.seed = round}, .workers = a.workers});
  for (std::size_t warm = 0; warm <= a.workers; ++warm) batches.next();
  std::size_t pictures = 0;
  auto const begin = std::chrono::steady_clock::now();
  do {
    pictures += batches.next().size();
  } while (bench::seconds_since(begin) < a.seconds);
  return static_cast<double>(pictures) / bench::seconds_since(begin);
}

void compare(Arguments const& a, std::string const& python) {
  attn::data::ImageFiles const files = attn::data::list_image_folder(a.data);
  std::uintmax_t bytes = 0;
  for (std::size_t i = 0; i < files.size(); ++i) bytes += std::filesystem::file_size(files.path(i));
  std::printf("%s, commit %s: %zu pictures of %zu classes, %.0f kB each; %zu workers\n",
              attn::io::describe_machine().c_str(), built_from_commit, files.size(), files.classes.size(),
              static_cast<double>(bytes) / 1e3 / static_cast<double>(files.size()), a.workers);
  std::string const script = std::filesystem::path(__FILE__).parent_path() / "peers" / "pipeline.py";
  std::map<std::string, double> rates;
  auto const note = [&](std::string const& way, double rate) { rates[way] = std::max(rates[way], rate); };
  for (int round = 0; round < a.rounds; ++round) {
    note("attn", pictures_per_second(files, a, static_cast<std::uint64_t>(round)));
    if (python.empty()) continue;
    for (std::string const way : {"timm", "torchvision"}) {
      auto const child =
          bench::run_child({python, script, "--way", way, "--workers", std::to_string(a.workers), "--batch",
                            std::to_string(a.batch), "--seconds", std::to_string(a.seconds), "--data", a.data},
                           900);
      if (!child.fault.empty())
        std::printf("no peer from pipeline.py --way %s: %s\n", way.c_str(), child.fault.c_str());
      for (std::string const& line : child.lines) {
        auto const report = nlohmann::json::parse(line, nullptr, false);
        if (!report.is_object()) continue;
        if (rates.size() == 1) std::printf("the peers saw the processors %s\n", report["processors"].dump().c_str());
        note(way, report["images_per_second"]);
      }
    }
  }
  double fastest = 0;
  for (auto const& [way, rate] : rates) {
    std::printf("%-12s %8.1f pictures/s\n", way.c_str(), rate);
    if (way != "attn") fastest = std::max(fastest, rate);
  }
  if (fastest > 0) std::printf("%.2f times as many as the faster peer\n", rates["attn"] / fastest);
}

}  // namespace

int main(int argc, char** argv) {
  bench::Peers const peers(argc, argv, "pipeline.py");
  Arguments a;
  attn::io::SettingList settings;
  describe(settings, a);
  CLI::App app("Pictures a second that are prepared for a training with DeiT's recipe", "pipeline");
  attn::io::add_options(app, settings);
  CLI11_PARSE(app, argc, argv);
  try {
    Kokkos::ScopeGuard const kokkos(Kokkos::InitializationSettings().set_disable_warnings(true));
    compare(a, peers.python());
  } catch (std::exception const& error) {
    std::fprintf(stderr, "pipeline: %s\n", error.what());
    return 2;
  }
}
