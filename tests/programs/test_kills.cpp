// The trainers under kill -9: at whatever moment they die, also while a checkpoint is written, resumption leads to the
// bits of a run that nobody disturbed, and leaves no litter.
//
// ATTN_KILLS: how many kills each trainer has to survive (default 14). ATTN_KILLS_SEED: of the moments (default 1).
#include "attn/io/csv.hpp"
#include "attn/io/results.hpp"
#include "attn/io/safetensors.hpp"

#include <poll.h>
#include <sys/inotify.h>

#include <cstdlib>
#include <iostream>
#include <random>

#include "programs/program.hpp"

namespace {

using namespace attn;
using namespace attn::programs;
using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

std::uint64_t number_from(char const* variable, std::uint64_t otherwise) {
  char const* const text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// Tells when a new file of some name is begun in a directory.
class Watch {
 public:
  Watch(Path const& directory, std::string prefix) : prefix_(std::move(prefix)), fd_(::inotify_init1(IN_NONBLOCK)) {
    ::inotify_add_watch(fd_, directory.c_str(), IN_CREATE);
  }
  Watch(Watch const&) = delete;
  ~Watch() { ::close(fd_); }

  /// Returns as soon as `count` more have been begun, or the child has ended.
  void wait_for(std::size_t count, Child const& child) const {
    while (count > 0 && !child.ended()) {
      pollfd ready{fd_, POLLIN, 0};
      if (::poll(&ready, 1, 20) <= 0) continue;
      alignas(inotify_event) char events[4096];
      ::ssize_t const bytes = ::read(fd_, events, sizeof events);
      for (::ssize_t at = 0; at < bytes && count > 0;) {
        auto const& event = *reinterpret_cast<inotify_event const*>(events + at);
        if (event.len > 0 && std::string(event.name).starts_with(prefix_)) --count;
        at += static_cast<::ssize_t>(sizeof event + event.len);
      }
    }
  }

 private:
  std::string prefix_;
  int fd_;
};

/// The files of a directory that hold something for a moment only.
std::vector<std::string> litter(Path const& directory) {
  std::vector<std::string> names;
  for (auto const& file : std::filesystem::directory_iterator(directory)) {
    std::string const name = file.path().filename().string();
    if (name.starts_with('.')) names.push_back(name);
  }
  return names;
}

/// A table without the columns that depend on the clock.
std::vector<std::vector<std::string>> rows_of(Path const& path) {
  auto table = io::read_csv(path);
  for (std::size_t c = 0; c < table.columns.size(); ++c) {
    if (table.columns[c] != "seconds" && !table.columns[c].ends_with("_per_second")) continue;
    for (auto& row : table.rows) row.at(c) = "";
  }
  table.rows.insert(table.rows.begin(), table.columns);
  return table.rows;
}

/// The results of a run without those that depend on the clock.
io::Json results_of(Path const& path) {
  io::Json const all = io::Json::parse(text_of(path));
  io::Json run = io::Json::object();
  io::Json const& results = all.contains("runs") ? all.at("runs").at(0) : all;
  for (auto const& [name, value] : results.items()) {
    if (name != "seconds" && name != "seconds_of" && !name.ends_with("_per_second")) run[name] = value;
  }
  return run;
}

/// The steps that a checkpoint has behind it; 0 where there is none.
std::uint64_t steps_of(Path const& checkpoint) {
  if (!std::filesystem::exists(checkpoint)) return 0;
  io::Safetensors const file(checkpoint);
  return io::Json::parse(file.metadata().at("attn.checkpoint")).at("record").at("step").get<std::uint64_t>();
}

class Kills : public ::testing::Test {
 protected:
  Kills() { ::setenv("OMP_WAIT_POLICY", "passive", 1); }

  /// A run is killed, resumed and killed until it gets to its end; then the next run begins, until there were kills
  /// enough. Every run ends with the files of one that was left alone.
  void expect_survived(std::string program, Arguments const& flags, std::vector<std::string> const& files) {
    program_ = std::move(program), flags_ = flags, files_ = files;
    whole_ = folder / "whole";
    auto const start = Clock::now();
    Exit const exit = child(whole_, false, false).wait();
    ASSERT_EQ(exit.code, 0) << exit.err;
    length_ = Seconds(Clock::now() - start).count();

    // Whether a kill meets a checkpoint that is being written depends on the disk: one must, however long it takes.
    std::uint64_t const enough = number_from("ATTN_KILLS", 14);
    auto const more = [&] { return kills_ < enough || (enough > 0 && in_writing_ == 0 && kills_ < 20 * enough); };
    std::size_t runs = 0;
    while (more() && !HasFailure()) {
      expect_one_run_survives(folder / ("run" + std::to_string(runs++)), more);
    }
    std::cout << kills_ << " kills in " << runs << " runs of " << length_ << " s: " << before_first_
              << " before the first checkpoint, " << in_writing_ << " while one was being written" << std::endl;
  }

  Folder folder;

 private:
  /// Figures take longer than such a run: few have them.
  Child child(Path const& out, bool resume, bool figures) const {
    Arguments all = merged(flags_, {"--out", out.string(), "--threads", "1"});
    if (resume) all.push_back("--resume");
    return Child(program_, all, {.path_variable = figures ? std::string() : folder.path.string()});
  }

  template <class More>
  void expect_one_run_survives(Path const& out, More const& more) {
    SCOPED_TRACE(out.filename().string() + " after " + std::to_string(kills_) + " kills");
    std::filesystem::create_directories(out);
    Path const checkpoint = out / "checkpoint.safetensors";
    for (std::uint64_t steps = 0;;) {
      Watch const watch(out, ".checkpoint.safetensors.");
      Child running = child(out, std::filesystem::exists(checkpoint), random_() % 4 == 0);
      if (more()) {
        wait_for_a_moment(watch, running);
        running.signal(SIGKILL);
      }
      Exit const exit = running.wait();
      if (exit.code == 0) break;
      ASSERT_EQ(exit.code, 128 + SIGKILL) << exit.err;
      ++kills_;
      std::uint64_t const now = steps_of(checkpoint);
      ASSERT_GE(now, steps) << "the checkpoint before is lost";
      steps = now;
      if (steps == 0) ++before_first_;
      for (std::string const& name : litter(out)) {
        if (name.starts_with(".checkpoint.safetensors.")) ++in_writing_;
      }
    }
    for (std::string const& name : files_) EXPECT_EQ(text_of(out / name), text_of(whole_ / name)) << name;
    EXPECT_EQ(rows_of(out / "metrics.csv"), rows_of(whole_ / "metrics.csv"));
    EXPECT_EQ(results_of(out / "results.json"), results_of(whole_ / "results.json"));
    EXPECT_EQ(litter(out), std::vector<std::string>{});
    if (!HasFailure()) std::filesystem::remove_all(out);
  }

  /// Every other one is soon after one of the next checkpoints has been begun, the others are anywhere.
  void wait_for_a_moment(Watch const& watch, Child const& running) {
    double const share = std::uniform_real_distribution<>()(random_);
    if (random_() % 2 == 0) {
      watch.wait_for(1 + random_() % 3, running);
      std::this_thread::sleep_for(Seconds(share * share * 3e-3));
    } else {
      auto const end = Clock::now() + Seconds(share * length_);
      while (Clock::now() < end && !running.ended()) {
        std::this_thread::sleep_for(std::min<Seconds>(end - Clock::now(), Seconds(0.02)));
      }
    }
  }

  std::string program_;
  Arguments flags_;
  std::vector<std::string> files_;
  Path whole_;
  double length_ = 0;  // seconds that a run takes which is left alone
  std::mt19937_64 random_{number_from("ATTN_KILLS_SEED", 1)};
  std::uint64_t kills_ = 0, before_first_ = 0, in_writing_ = 0;
};

TEST_F(Kills, OfTrainVisionLeaveNoTrace) {
  write_tiny_images(folder);
  expect_survived(ATTN_TRAIN_VISION,
                  {"--data",
                   folder.path.string(),
                   "--activation",
                   "poly",
                   "--scale",
                   "dynamic",
                   "--patch",
                   "4",
                   "--width",
                   "16",
                   "--depth",
                   "2",
                   "--heads",
                   "2",
                   "--batch",
                   "16",
                   "--log-every",
                   "2",
                   "--epochs",
                   "8",
                   "--drop",
                   "0.1",
                   "--flip",
                   "0.5",
                   "--cutmix",
                   "1",
                   "--ema",
                   "0.9",
                   "--eval-every",
                   "5",
                   "--checkpoint-every",
                   "3"},
                  {"weights.safetensors"});
}

TEST_F(Kills, OfTrainLraLeaveNoTrace) {
  expect_survived(ATTN_TRAIN_LRA,
                  {"--task",
                   "listops",
                   "--batch",
                   "4",
                   "--examples",
                   "24",
                   "--steps",
                   "24",
                   "--eval-every",
                   "4",
                   "--checkpoint-every",
                   "3",
                   "--log-every",
                   "1",
                   "--eval-batches",
                   "1",
                   "--width",
                   "16",
                   "--hidden",
                   "16",
                   "--landmarks",
                   "16",
                   "--depth",
                   "1",
                   "--accumulate",
                   "2",
                   "--limit",
                   "256"},
                  {"weights.safetensors", "best.safetensors"});
}

TEST_F(Kills, OfTrainPdeLeaveNoTrace) {
  expect_survived(ATTN_TRAIN_PDE, {"--problem",   "convection", "--model",          "pinn", "--history",          "3",
                                   "--x-points",  "5",          "--t-points",       "4",    "--test-points",      "7",
                                   "--steps",     "12",         "--max-iterations", "3",    "--checkpoint-every", "2",
                                   "--ntk-every", "5"},
                  {"weights.safetensors", "prediction.npy"});
}

TEST_F(Kills, OfTrainDetectionLeaveNoTrace) {
  write_tiny_garments(folder);
  Path const data = folder / "data";
  Exit const exit = run(ATTN_TRAIN_DETECTION,
                        {"--generate", data.string(), "--source", (folder / "source").string(), "--train-images", "10",
                         "--val-images", "2", "--least-side", "60", "--most-side", "70"});
  ASSERT_EQ(exit.code, 0) << exit.err;
  expect_survived(ATTN_TRAIN_DETECTION,
                  merged(tiny_detector(data),
                         {"--test-side", "64", "--activation", "poly", "--scale", "dynamic", "--accumulate", "2",
                          "--epochs", "3", "--eval-every", "4", "--checkpoint-every", "3", "--log-every", "1"}),
                  {"weights.safetensors", "detections.json"});
}

}  // namespace
