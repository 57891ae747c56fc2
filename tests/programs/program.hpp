// Runs a program as a child, and makes the small files that it is given.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace attn::programs {

using Path = std::filesystem::path;
using Arguments = std::vector<std::string>;

inline std::string text_of(Path const& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// A directory of one test that goes with it.
struct Folder {
  Path path;

  Folder() {
    auto const* const test = ::testing::UnitTest::GetInstance()->current_test_info();
    static int number = 0;
    path = std::filesystem::temp_directory_path() /
           ("attn_" + std::to_string(::getpid()) + "_" + test->name() + std::to_string(number++));
    std::filesystem::create_directories(path);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
  }
  Path operator/(std::string const& name) const { return path / name; }
};

/// The pairs of `more` over those of `base`: a flag of both has the value of `more`. Every flag of `base` has a value.
inline Arguments merged(Arguments const& base, Arguments const& more) {
  Arguments all;
  for (std::size_t i = 0; i < base.size(); i += 2) {
    if (std::find(more.begin(), more.end(), base[i]) != more.end()) continue;
    all.insert(all.end(), {base[i], base[i + 1]});
  }
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

struct Exit {
  int code = -1;  // 128 + the signal, if one ended it
  std::string out;
  std::string err;
  double peak = 0;  // bytes that it had at once

  std::size_t lines_of_err() const { return static_cast<std::size_t>(std::count(err.begin(), err.end(), '\n')); }
};

struct Surroundings {
  std::string path_variable = {};  // PATH, if not this process's
  std::size_t largest_file = 0;    // bytes that a file may have, if not 0: as on a disk that is full
  std::size_t memory = 0;          // bytes that the process is told to do with, if not 0: as on a machine without more
};

/// A child process; its output goes to files, so that it never blocks.
class Child {
 public:
  Child(std::string const& program, Arguments const& arguments, Surroundings const& surroundings = {}) {
    std::vector<char*> argv{const_cast<char*>(program.c_str())};
    for (auto const& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::dup2(::open((folder_ / "out").c_str(), O_WRONLY | O_CREAT, 0644), STDOUT_FILENO);
    ::dup2(::open((folder_ / "err").c_str(), O_WRONLY | O_CREAT, 0644), STDERR_FILENO);
    if (!surroundings.path_variable.empty()) ::setenv("PATH", surroundings.path_variable.c_str(), 1);
    if (surroundings.largest_file > 0) {
      std::signal(SIGXFSZ, SIG_IGN);
      rlimit const limit{surroundings.largest_file, surroundings.largest_file};
      ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    if (surroundings.memory > 0) {
      rlimit const limit{surroundings.memory, surroundings.memory};  // not enforced: sanitizers reserve terabytes
      ::setrlimit(RLIMIT_RSS, &limit);
    }
    ::execv(program.c_str(), argv.data());
    ::_exit(127);
  }

  void signal(int number) const { ::kill(pid_, number); }

  /// Whether it has ended; `wait` then returns at once.
  bool ended() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<::id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid_;
  }

  Exit wait() {
    int status = 0;
    rusage usage{};
    ::wait4(pid_, &status, 0, &usage);
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), text_of(folder_ / "out"),
            text_of(folder_ / "err"), 1024.0 * double(usage.ru_maxrss)};
  }

 private:
  Folder folder_;
  pid_t pid_ = -1;
};

/// A machine on which sizes that cannot be meant do not fit, whatever the machine of the tests is.
inline Surroundings const small_machine = {.memory = std::size_t(8) << 30};

inline Exit run(std::string const& program, Arguments const& arguments, Surroundings const& surroundings = {}) {
  return Child(program, arguments, surroundings).wait();
}

/// Whether memory is that of the program, not of a sanitizer around it.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool memory_is_its_own = false;
#else
inline constexpr bool memory_is_its_own = true;
#endif

/// What a program says that a run would take, in bytes, on a machine with too little for it; 0 if it does not.
inline double memory_that_is_said(std::string const& program, Arguments const& arguments) {
  Exit const exit = run(program, arguments, {.memory = 1'000'000});
  std::string const before = "would take about ";
  auto const at = exit.err.find(before);
  if (at == std::string::npos) return 0;
  std::istringstream text(exit.err.substr(at + before.size()));
  double number = 0;
  std::string unit;
  text >> number >> unit;
  return number * (unit == "GB" ? 1e9 : unit == "MB" ? 1e6 : 0);
}

/// Waits until `condition` holds, at most a minute.
template <class Condition>
bool wait_until(Condition const& condition) {
  for (int i = 0; i < 6000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

inline void write(Path const& path, std::string const& bytes) { std::ofstream(path, std::ios::binary) << bytes; }

/// As a disk may, which returns what was written but for one bit.
inline void flip_a_bit(Path const& path) {
  std::string bytes = text_of(path);
  bytes.back() = static_cast<char>(bytes.back() ^ 1);
  write(path, bytes);
}

inline void write_gz(Path const& path, std::string const& bytes) {
  gzFile const file = ::gzopen(path.c_str(), "wb");
  ::gzwrite(file, bytes.data(), static_cast<unsigned>(bytes.size()));
  ::gzclose(file);
}

/// An IDX file's bytes: dimensions and elements.
inline std::string idx(std::vector<std::uint32_t> const& extents, std::string const& elements) {
  std::string bytes{'\0', '\0', '\x08', static_cast<char>(extents.size())};
  for (std::uint32_t const extent : extents) {
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(extent >> shift);
  }
  return bytes + elements;
}

/// Images of 8 x 8 of three classes, which differ in the rows that are bright.
struct TinyImages {
  std::string images, labels;

  explicit TinyImages(std::uint32_t count, std::uint32_t seed) {
    std::uint32_t state = seed;
    auto const random = [&] { return (state = state * 1664525u + 1013904223u) >> 24; };
    std::string pixels, classes;
    for (std::uint32_t i = 0; i < count; ++i) {
      std::uint32_t const label = random() % 3;
      classes += static_cast<char>(label);
      for (std::uint32_t p = 0; p < 64; ++p) {
        bool const bright = p / 8 / 3 == label;
        pixels += static_cast<char>(bright ? 128 + random() / 2 : random() / 4);
      }
    }
    images = idx({count, 8, 8}, pixels);
    labels = idx({count}, classes);
  }
};

/// The four files of a data set of them: 96 images to train, and `tests` to test.
inline void write_tiny_images(Folder const& folder, std::uint32_t tests = 40) {
  TinyImages const train(96, 1), test(tests, 2);
  write(folder / "train-images-idx3-ubyte", train.images);
  write(folder / "train-labels-idx1-ubyte", train.labels);
  write(folder / "t10k-images-idx3-ubyte", test.images);
  write(folder / "t10k-labels-idx1-ubyte", test.labels);
}

/// The four files of a data set of ten discs of 28 x 28, in the place of garments, in folder/source.
inline void write_tiny_garments(Folder const& folder) {
  std::string disc, images, labels;
  for (int p = 0; p < 784; ++p) {
    double const y = p / 28 - 13.5, x = p % 28 - 13.5;
    disc += y * y + x * x < 150 ? '\x7f' : '\0';
  }
  for (char label = 0; label < 10; ++label) {
    labels += label;
    images += disc;
  }
  std::filesystem::create_directories(folder / "source");
  for (std::string const part : {"train", "t10k"}) {
    write(folder / ("source/" + part + "-images-idx3-ubyte"), idx({10, 28, 28}, images));
    write(folder / ("source/" + part + "-labels-idx1-ubyte"), idx({10}, labels));
  }
}

/// Flags that train a detector of a few numbers on small pictures.
inline Arguments tiny_detector(Path const& data) {
  return {"--data",       data.string(), "--model",         "tiny", "--width",     "16", "--depth",          "2",
          "--heads",      "2",           "--pyramid-width", "8",    "--hidden",    "16", "--mask-depth",     "1",
          "--batch",      "2",           "--accumulate",    "1",    "--epochs",    "2",  "--proposals",      "20",
          "--regions",    "8",           "--anchors",       "16",   "--sides",     "64", "--most-long-side", "96",
          "--crop-sides", "80",          "--least-crop",    "40",   "--most-crop", "60", "--warmup",         "3"};
}

}  // namespace attn::programs
