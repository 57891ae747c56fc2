// A record has 3073 bytes; short inputs are repeated, so that a mutation reaches more than their number.
#include "attn/data/cifar.hpp"

#include "fuzz/memory_file.hpp"

constexpr std::size_t record_size = 1 + 3 * attn::data::cifar::pixels;

int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
  auto const read = [](std::filesystem::path const& path) {
    auto data = attn::data::cifar::empty_dataset();
    attn::data::read_cifar10_file(path, data);
    attn::data::check(data, "fuzz_cifar");
  };
  attn::testing::read_as_file(bytes, size, read);
  if (size == 0 || size >= record_size) return 0;
  std::vector<std::uint8_t> record;
  while (record.size() < record_size) record.insert(record.end(), bytes, bytes + size);
  return attn::testing::read_as_file(record.data(), record_size, read);
}
