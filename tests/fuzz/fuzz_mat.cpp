// Files of MATLAB as they are, and as the content of a compressed matrix, where no mutation of a stream would lead.
#include "attn/io/mat.hpp"

#include "fuzz/memory_file.hpp"

namespace {

void read_mat(std::filesystem::path const& path) {
  attn::io::MatFile const file(path);
  for (auto const& name : file.names()) {
    attn::testing::refuse_or_read([&] { file.array(name); });
  }
}

std::string compressed_in_a_file(std::uint8_t const* bytes, std::size_t size) {
  uLongf length = ::compressBound(size);
  std::string stream(length, '\0');
  ::compress2(reinterpret_cast<Bytef*>(stream.data()), &length, bytes, size, 1);
  std::uint32_t const tag[] = {15, static_cast<std::uint32_t>(length)};
  std::string file(124, ' ');
  file += std::string("\0\1IM", 4) + std::string(reinterpret_cast<char const*>(tag), 8) + stream.substr(0, length);
  return file;
}

}  // namespace

int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
  attn::testing::read_as_file(bytes, size, read_mat);
  std::size_t const header = 128;
  std::string const wrapped = size > header ? compressed_in_a_file(bytes + header, size - header) : "";
  return attn::testing::read_as_file(reinterpret_cast<std::uint8_t const*>(wrapped.data()), wrapped.size(), read_mat);
}
