/// Checksum: whether a .safetensors file still holds what was written. CRC-32 (ISO-HDLC), as zlib computes it.
#pragma once

#include "attn/io/safetensors.hpp"

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <map>
#include <span>
#include <string>

namespace attn::train::detail {

inline constexpr char const* checksum_key = "attn.checksum";

/// Of names, types, shapes and elements of tensors, and of the metadata, whatever their order in the file.
class Checksum {
 public:
  void add(std::string const& name, io::DType dtype, io::Shape const& shape, std::span<std::byte const> elements) {
    std::string const kind = std::string(io::name_of(dtype)) + io::to_string(shape);
    sums_["tensor " + name] = crc(crc(0, kind.data(), kind.size()), elements.data(), elements.size());
  }
  void add(io::Metadata const& metadata) {
    for (auto const& [key, text] : metadata) {
      if (key != checksum_key) sums_["metadata " + key] = crc(0, text.data(), text.size());
    }
  }

  std::string text() const {
    std::uint32_t all = 0;
    for (auto const& [name, sum] : sums_) {
      all = crc(all, name.data(), name.size());
      all = crc(all, &sum, sizeof sum);
    }
    char hexadecimal[16];
    std::snprintf(hexadecimal, sizeof hexadecimal, "crc32:%08x", static_cast<unsigned>(all));
    return hexadecimal;
  }

 private:
  static std::uint32_t crc(std::uint32_t before, void const* bytes, std::size_t count) {
    if (count == 0) return before;  // zlib takes a null pointer for a wish to begin anew
    return static_cast<std::uint32_t>(::crc32_z(before, static_cast<unsigned char const*>(bytes), count));
  }

  std::map<std::string, std::uint32_t> sums_;
};

/// Throws where the file has a checksum and is not what it was made of. Files of other programs have none. Reads all.
inline void check_undamaged(io::Safetensors const& file, io::Path const& path, char const* caller) {
  auto const said = file.metadata().find(checksum_key);
  if (said == file.metadata().end()) return;
  Checksum checksum;
  for (auto const& [name, entry] : file.tensors()) checksum.add(name, entry.dtype, entry.shape, file.bytes(name));
  checksum.add(file.metadata());
  ATTN_CHECK(checksum.text() == said->second, caller, ": '", path.string(),
             "' was damaged since it was written: its checksum is ", checksum.text(), ", not ", said->second,
             "; use another copy, or remove attn.checksum from its metadata if you changed it yourself");
}

}  // namespace attn::train::detail
