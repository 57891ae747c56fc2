#include "attn/data/listops.hpp"

#include "fuzz/memory_file.hpp"

int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
  return attn::testing::read_as_file(bytes, size, [](std::filesystem::path const& path) {
    attn::data::check(attn::data::read_listops_tsv(path), "fuzz_listops");
  });
}
