#include "attn/io/safetensors.hpp"

#include "fuzz/memory_file.hpp"

int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
  return attn::testing::read_as_file(bytes, size, [](std::filesystem::path const& path) {
    attn::io::Safetensors const file(path);
    for (auto const& [name, entry] : file.tensors()) {
      attn::testing::refuse_or_read([&, &key = name, &shape = entry.shape] { file.get<float>(key, shape); });
      attn::testing::refuse_or_read([&, &key = name, &shape = entry.shape] { file.get<bool>(key, shape); });
    }
    attn::testing::refuse_or_read([&] { file.array("blocks.0.attn.qkv.weight"); });
  });
}
