/// What a file holds, whether or not it was compressed with gzip.
#pragma once

#include "attn/core/check.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

namespace attn::data {

/// Whether bytes start like a gzip file.
inline bool is_gzip(std::vector<unsigned char> const& bytes) {
  return bytes.size() >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b;
}

/// What a file may hold at most, inflated, where a caller says nothing else: a quarter of the machine's memory. A small
/// file can claim to become a thousand times as large, and a pipe need never end.
inline std::size_t largest_content() {
  long const pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  return pages > 0 && page > 0 ? static_cast<std::size_t>(pages) / 4 * static_cast<std::size_t>(page)
                               : std::size_t(1) << 30;
}

/// The bytes of a file as they are on disk, at most `most`; pipes work too, devices do not.
inline std::vector<unsigned char> read_bytes(std::filesystem::path const& path, std::size_t most = largest_content()) {
  auto const reason = [] { return std::generic_category().message(errno); };
  int const fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  ATTN_CHECK(fd >= 0, "read_bytes: cannot open '", path.string(), "': ", reason());
  struct Closer {
    int fd;
    ~Closer() { ::close(fd); }
  } const closer{fd};
  struct ::stat status {};
  bool const known = ::fstat(fd, &status) == 0;
  ATTN_CHECK(!known || (!S_ISCHR(status.st_mode) && !S_ISBLK(status.st_mode)), "read_bytes: give a file, '",
             path.string(), "' is a device");
  auto const check_size = [&](std::size_t size, char const* qualifier) {
    ATTN_CHECK(size <= most, "read_bytes: give a smaller file, '", path.string(), "' has ", qualifier, size,
               " bytes, there is room for ", most);
  };
  std::size_t const expected = known && S_ISREG(status.st_mode) ? static_cast<std::size_t>(status.st_size) : 0;
  check_size(expected, "");
  std::vector<unsigned char> bytes(expected + 1);  // one more, so that the end of the file is seen without growing
  std::size_t used = 0;
  while (true) {
    check_size(used, "at least ");
    if (used == bytes.size()) bytes.resize(std::min(2 * bytes.size() + 4096, most + 1));
    ::ssize_t const n = ::read(fd, bytes.data() + used, bytes.size() - used);
    if (n < 0 && errno == EINTR) continue;
    ATTN_CHECK(n >= 0, "read_bytes: cannot read '", path.string(), "': ", reason());
    if (n == 0) break;
    used += static_cast<std::size_t>(n);
  }
  bytes.resize(used);
  return bytes;
}

/// The uncompressed content of gzip data (one or several members, as `cat a.gz b.gz` makes; zero padding after the
/// last is ignored), at most `most` bytes. `name` is the file that errors name. O(size) time; checks length and CRC of
/// every member.
inline std::vector<unsigned char> decompress(std::vector<unsigned char> const& gzip, std::string const& name,
                                             std::size_t most = largest_content()) {
  ATTN_CHECK(is_gzip(gzip), "decompress: give gzip data, '", name, "' is not in gzip format");
  z_stream stream{};
  ATTN_CHECK(::inflateInit2(&stream, 15 + 16) == Z_OK, "decompress: zlib could not start on '", name, "'");
  std::unique_ptr<z_stream, int (*)(z_stream*)> const owner(&stream, &::inflateEnd);

  // The last four bytes tell the size of a single member below 4 GiB; not to be trusted, so more is taken when it
  // comes.
  std::size_t told = 0;
  for (std::size_t i = 1; i <= 4 && i < gzip.size(); ++i) told = told << 8 | gzip[gzip.size() - i];
  std::vector<unsigned char> out(std::min({told, 64 * gzip.size(), most}) +
                                 1);  // one more shows the end without growing
  std::size_t used = 0;
  std::size_t taken = 0;
  bool inside_member = true;
  while (inside_member) {
    if (used == out.size()) out.resize(std::min(2 * out.size() + 4096, most + 1));
    constexpr std::size_t largest = std::numeric_limits<uInt>::max();  // zlib counts in 32 bits
    std::size_t const room = std::min(out.size() - used, largest);
    std::size_t const given = std::min(gzip.size() - taken, largest);
    stream.next_in = const_cast<unsigned char*>(gzip.data() + taken);
    stream.avail_in = static_cast<uInt>(given);
    stream.next_out = out.data() + used;
    stream.avail_out = static_cast<uInt>(room);
    int const status = ::inflate(&stream, Z_NO_FLUSH);
    taken += given - stream.avail_in;
    used += room - stream.avail_out;
    ATTN_CHECK(used <= most, "decompress: give a smaller file, '", name, "' (", gzip.size(),
               " bytes) holds more, inflated, than the ", most, " bytes that there is room for");
    bool const starved = taken == gzip.size() && stream.avail_out > 0 && status != Z_STREAM_END;
    ATTN_CHECK(status != Z_DATA_ERROR && status != Z_NEED_DICT, "decompress: get '", name,
               "' again, it is corrupt after ", used, " bytes (", stream.msg != nullptr ? stream.msg : "bad data", ")");
    ATTN_CHECK(!starved, "decompress: get '", name, "' again, it is truncated (", gzip.size(),
               " bytes of gzip data end after ", used, " bytes of content)");
    ATTN_CHECK(status == Z_OK || status == Z_STREAM_END || status == Z_BUF_ERROR, "decompress: zlib failed on '", name,
               "' with code ", status);
    if (status != Z_STREAM_END) continue;
    while (taken < gzip.size() && gzip[taken] == 0) ++taken;
    inside_member = taken < gzip.size();
    if (inside_member) ::inflateReset(&stream);
  }
  out.resize(used);
  return out;
}

/// The first bytes of what gzip data hold, `count` of them or fewer; without checks.
inline std::vector<unsigned char> decompress_start(std::vector<unsigned char> const& gzip, std::size_t count) {
  z_stream stream{};
  if (::inflateInit2(&stream, 15 + 16) != Z_OK) return {};
  std::unique_ptr<z_stream, int (*)(z_stream*)> const owner(&stream, &::inflateEnd);
  std::vector<unsigned char> out(count);
  stream.next_in = const_cast<unsigned char*>(gzip.data());
  stream.avail_in = static_cast<uInt>(std::min<std::size_t>(gzip.size(), std::numeric_limits<uInt>::max()));
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(count);
  ::inflate(&stream, Z_SYNC_FLUSH);
  out.resize(count - stream.avail_out);
  return out;
}

/// The content of a file: uncompressed when it starts as gzip does, as it is otherwise. A name that ends in ".gz"
/// promises gzip, and the promise is checked. What is compressed within is left so. At most `most` bytes; where a
/// format announces its size at its start, `announced` (its first 64 bytes -> bytes) says how many are worth inflating.
inline std::vector<unsigned char> read_content(
    std::filesystem::path const& path, std::size_t most = largest_content(),
    std::function<std::size_t(std::vector<unsigned char> const&)> const& announced = {}) {
  std::vector<unsigned char> bytes = read_bytes(path, most);
  ATTN_CHECK(!bytes.empty(), "read_content: get '", path.string(), "' again, it is empty");
  if (is_gzip(bytes)) {
    if (announced) most = std::min(most, announced(decompress_start(bytes, 64)));
    return decompress(bytes, path.string(), most);
  }
  ATTN_CHECK(path.extension() != ".gz", "read_content: get '", path.string(),
             "' again or rename it, it is not in gzip format");
  return bytes;
}

/// The file itself, or the same name with ".gz" added or removed when only that exists.
inline std::filesystem::path with_or_without_gz(std::filesystem::path const& path) {
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) return path;
  auto other = path;
  path.extension() == ".gz" ? other.replace_extension() : other += ".gz";
  return std::filesystem::exists(other, ignored) ? other : path;
}

}  // namespace attn::data
