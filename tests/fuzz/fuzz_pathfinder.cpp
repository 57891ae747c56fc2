// The list of a folder's images; the folder holds one.
#include "attn/data/pathfinder.hpp"

#include <fstream>

#include "fuzz/memory_file.hpp"

namespace {

class Folder {
 public:
  Folder() : path_(std::filesystem::temp_directory_path() / ("attn-fuzz-pathfinder-" + std::to_string(::getpid()))) {
    attn::data::Sequences data = attn::data::pathfinder::empty_dataset();
    data.append(std::vector<std::uint8_t>(data.length, 7), data.length);
    data.labels.push_back(1);
    attn::data::write_pathfinder_folder(path_, data);
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::filesystem::path const& with_list(std::uint8_t const* bytes, std::size_t size) const {
    std::ofstream(path_ / "metadata/0.npy", std::ios::binary)
        .write(reinterpret_cast<char const*>(bytes), static_cast<std::streamsize>(size));
    return path_;
  }

 private:
  std::filesystem::path path_;
};

}  // namespace

int LLVMFuzzerTestOneInput(std::uint8_t const* bytes, std::size_t size) {
  static Folder const folder;
  return attn::testing::refuse_or_read(
      [&] { attn::data::check(attn::data::read_pathfinder_folder(folder.with_list(bytes, size)), "fuzz_pathfinder"); });
}
