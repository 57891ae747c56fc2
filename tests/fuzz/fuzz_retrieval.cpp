#include "attn/data/retrieval.hpp"

#include "fuzz/memory_file.hpp"

int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
  return attn::testing::read_as_file(bytes, size, [](std::filesystem::path const& path) {
    attn::data::check(attn::data::read_retrieval_tsv(path, {.limit = 20, .padding = 4}), "fuzz_retrieval");
  });
}
