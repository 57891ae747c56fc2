// The same bytes as images and as labels.
#include "attn/data/idx.hpp"

#include "fuzz/memory_file.hpp"

int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
  return attn::testing::read_as_file(bytes, size, [](std::filesystem::path const& path) {
    static attn::testing::MemoryFile const other;
    static std::uint8_t const labels[] = {0, 0, 8, 1, 0, 0, 0, 2, 1, 0};
    attn::testing::refuse_or_read([&] { attn::data::load_idx(path, other.hold(labels, sizeof labels)); });
    static std::uint8_t const images[] = {0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 7, 9};
    attn::data::load_idx(other.hold(images, sizeof images), path);
  });
}
