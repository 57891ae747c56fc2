#include "attn/data/gzip.hpp"

#include "fuzz/memory_file.hpp"

int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
  return attn::testing::read_as_file(bytes, size, [](std::filesystem::path const& path) {
    constexpr std::size_t most = 1 << 20;
    if (attn::data::read_content(path, most).size() > most) std::abort();
  });
}
