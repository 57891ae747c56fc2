#include "attn/io/npy.hpp"

#include "fuzz/memory_file.hpp"

int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
  return attn::testing::read_as_file(bytes, size, [](std::filesystem::path const& path) {
    attn::io::Array const array = attn::io::read_npy(path);
    if (array.bytes.size() != *attn::io::element_count(array.shape) * size_of(array.dtype)) std::abort();
    attn::testing::refuse_or_read([&] { array.as<double>(); });
    attn::testing::refuse_or_read([&] { array.as<std::int32_t>(); });
  });
}
