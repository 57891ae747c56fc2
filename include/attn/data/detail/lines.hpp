/// Text files line by line, with the number of the line for messages.
#pragma once

#include "attn/core/check.hpp"

#include <cerrno>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace attn::data::detail {

/// Lines without their ends, "\n" or "\r\n". A file may end with or without one. A line has at most 64 MiB: what is
/// longer is no text, and may never end.
class Lines {
 public:
  Lines(std::filesystem::path const& path, std::string const& function)
      : path_(path.string()), function_(function), file_(path, std::ios::binary) {
    std::error_code ignored;
    ATTN_CHECK(file_.is_open() && !std::filesystem::is_directory(path, ignored), function_, ": cannot open '", path_,
               "': ", std::generic_category().message(file_.is_open() ? EISDIR : errno));
    ATTN_CHECK(!std::filesystem::is_character_file(path, ignored) && !std::filesystem::is_block_file(path, ignored),
               function_, ": give a file, '", path_, "' is a device");
  }

  /// False after the last line.
  bool next() {
    line_.clear();
    for (bool whole = false; !whole;) {
      char piece[4096];
      file_.getline(piece, sizeof piece);
      ATTN_CHECK(!file_.bad(), function_, ": cannot read '", path_, "' after line ", number_);
      whole = file_.eof() || !file_.fail();  // otherwise the piece is full, and there is more of the line
      line_.append(piece, static_cast<std::size_t>(file_.gcount()) - (whole && !file_.eof()));
      ATTN_CHECK(line_.size() <= longest, function_, ": give a file of lines, '", path_, "' has one of more than ",
                 longest, " bytes after line ", number_);
      if (!whole) file_.clear();
    }
    if (file_.eof() && line_.empty()) return false;
    ++number_;
    if (line_.ends_with('\r')) line_.pop_back();
    return true;
  }

  std::string const& text() const { return line_; }
  std::size_t number() const { return number_; }

  /// The fields between tabs; throws, with file and line, unless there are `count`.
  std::vector<std::string_view> fields(std::size_t count) const {
    std::vector<std::string_view> result;
    std::string_view rest = line_;
    while (true) {
      std::size_t const tab = rest.find('\t');
      result.push_back(rest.substr(0, tab));
      if (tab == std::string_view::npos) break;
      rest.remove_prefix(tab + 1);
    }
    check(result.size() == count, count, " fields with tabs between them are wanted, there are ", result.size());
    return result;
  }

  /// Throws a message that names function, file and line unless `good`.
  template <class... Parts>
  void check(bool good, Parts const&... parts) const {
    ATTN_CHECK(good, function_, ": '", path_, "', line ", number_, ": ", parts...);
  }

 private:
  static constexpr std::size_t longest = std::size_t(1) << 26;

  std::string path_;
  std::string function_;
  std::ifstream file_;
  std::string line_;
  std::size_t number_ = 0;
};

/// The first of `folders`, below `root`, in which `entry` exists; `root` itself is tried first. Releases are unpacked
/// at different depths. Throws when there is none.
inline std::filesystem::path find_folder(std::string const& function, std::filesystem::path const& root,
                                         std::string const& entry, std::initializer_list<char const*> folders) {
  std::error_code ignored;
  if (std::filesystem::exists(root / entry, ignored)) return root;
  for (char const* folder : folders) {
    if (std::filesystem::exists(root / folder / entry, ignored)) return root / folder;
  }
  ATTN_CHECK(false, function, ": give the folder that holds '", entry, "', '", root.string(), "' does not");
  return root;
}

}  // namespace attn::data::detail
