// Every fuzz target over its corpus, and over mutations of it that the seed alone decides: seconds for all. libFuzzer
// goes on from there (ATTN_FUZZ in CMakeLists.txt).
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <new>
#include <random>
#include <string>
#include <vector>

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// Files of a few KB are no reason to ask for more memory than this at once.
void* operator new(std::size_t size) {
  void* const memory = size <= std::size_t(1) << 28 ? std::malloc(size) : nullptr;
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
#endif

extern "C" {
#define ATTN_FUZZ_TARGET(reader) int fuzz_##reader(std::uint8_t const* bytes, std::size_t size);
ATTN_FUZZ_TARGETS
#undef ATTN_FUZZ_TARGET
}

namespace {

using Bytes = std::vector<std::uint8_t>;

struct Target {
  char const* name;
  int (*run)(std::uint8_t const*, std::size_t);
};

#define ATTN_FUZZ_TARGET(reader) {#reader, fuzz_##reader},
constexpr Target targets[] = {ATTN_FUZZ_TARGETS};

std::vector<Bytes> corpus_of(std::string const& reader) {
  std::vector<std::filesystem::path> files;
  for (auto const& entry : std::filesystem::directory_iterator(std::filesystem::path(ATTN_FUZZ_CORPUS) / reader)) {
    files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<Bytes> corpus;
  for (auto const& path : files) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

/// One to four changes of the kinds that break readers: bits, lengths, pieces lost, doubled, moved, or of other files.
Bytes mutated(std::vector<Bytes> const& corpus, std::mt19937& draw) {
  auto const below = [&](std::size_t n) { return n == 0 ? 0 : draw() % n; };
  static constexpr std::uint32_t numbers[] = {0,    1,          2,          7,          0x7f,   0x80,
                                              0xff, 0x7fffffff, 0x80000000, 0xffffffff, 0x10000};
  Bytes bytes = corpus[below(corpus.size())];
  for (std::size_t change = below(4) + 1; change-- > 0;) {
    std::size_t const at = below(bytes.size() + 1), left = bytes.size() - at;
    auto const position = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    std::size_t const length = std::min(left, below(16) + 1);
    switch (below(8)) {
      case 0:
        if (left > 0) *position = static_cast<std::uint8_t>(*position ^ (1u << below(8)));
        break;
      case 1:
        if (left > 0) *position = static_cast<std::uint8_t>(draw());
        break;
      case 2: {  // a number of 8 to 32 bits in either order of bytes
        std::uint8_t raw[4];
        std::memcpy(raw, &numbers[below(std::size(numbers))], 4);
        if (below(2) == 0) std::reverse(raw, raw + 4);
        std::copy_n(raw, std::min<std::size_t>(left, 1 + below(4)), position);
        break;
      }
      case 3:
        bytes.erase(position, position + static_cast<std::ptrdiff_t>(length));
        break;
      case 4: {
        Bytes const piece(position, position + static_cast<std::ptrdiff_t>(length));
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(below(bytes.size() + 1)), piece.begin(), piece.end());
        break;
      }
      case 5:
        bytes.resize(at);
        break;
      case 6: {
        Bytes const& other = corpus[below(corpus.size())];
        auto const from = other.begin() + static_cast<std::ptrdiff_t>(below(other.size() + 1));
        bytes.insert(position, from, other.end());
        break;
      }
      default:
        if (left > 0) *position = "0123456789-.,\"'{}[]\t\n\r eE"[below(24)];
    }
  }
  if (bytes.size() > 1 << 16) bytes.resize(1 << 16);
  return bytes;
}

class Fuzz : public ::testing::TestWithParam<Target> {};

TEST_P(Fuzz, EveryInputIsReadOrRefused) {
  auto const [name, run] = GetParam();
  std::vector<Bytes> const corpus = corpus_of(name);
  ASSERT_FALSE(corpus.empty());
  auto const check = [&, run = run](Bytes const& bytes) {
    try {
      run(bytes.data(), bytes.size());
      return true;
    } catch (std::exception const& e) {
      ADD_FAILURE() << e.what() << " for " << ::testing::PrintToString(bytes);
      return false;
    }
  };
  for (Bytes const& bytes : corpus) check(bytes);
  std::mt19937 draw(2026);
  int const runs = std::string(name) == "pathfinder" ? ATTN_FUZZ_RUNS / 20 : ATTN_FUZZ_RUNS;  // it writes to a disk
  for (int i = 0; i < runs; ++i) {
    if (!check(mutated(corpus, draw))) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Reader, Fuzz, ::testing::ValuesIn(targets),
                         [](auto const& info) { return std::string(info.param.name); });

}  // namespace
