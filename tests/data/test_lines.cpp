#include "attn/data/detail/lines.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "io/files.hpp"

namespace {

using namespace attn::testing;
using attn::data::detail::Lines;

class LinesOfAFile : public ::testing::Test {
 protected:
  std::vector<std::string> read(std::string const& bytes) const {
    put(file, bytes);
    Lines lines(file, "test");
    std::vector<std::string> all;
    while (lines.next()) all.push_back(lines.text());
    EXPECT_EQ(lines.number(), all.size());
    return all;
  }
  TemporaryDirectory directory;
  Path file = directory / "lines.txt";
};

TEST_F(LinesOfAFile, EndsOfAnyKindAreNotPartOfALine) {
  using Texts = std::vector<std::string>;
  EXPECT_EQ(read(""), Texts{});
  EXPECT_EQ(read("\n"), Texts{""});
  EXPECT_EQ(read("a\r\n\nb"), (Texts{"a", "", "b"}));
  EXPECT_EQ(read("a\r"), Texts{"a"});
  std::string const nul("x\0y", 3);
  EXPECT_EQ(read(nul + "\n" + nul), (Texts{nul, nul}));
}

TEST_F(LinesOfAFile, ALineMayBeLongerThanAnyBuffer) {
  for (std::size_t const n : {4094u, 4095u, 4096u, 8190u, 8191u, 100'003u}) {
    std::string const line(n, 'x');
    EXPECT_EQ(read(line + "\ny"), (std::vector<std::string>{line, "y"})) << n;
    EXPECT_EQ(read(line), std::vector<std::string>{line}) << n;
    EXPECT_EQ(read(line + "\n"), std::vector<std::string>{line}) << n;
  }
}

TEST_F(LinesOfAFile, ALineWithoutEndAndADeviceAreRefused) {
  put(file, "first\n");
  std::filesystem::resize_file(file, std::uintmax_t(1) << 40);
  Lines lines(file, "test");
  EXPECT_TRUE(lines.next());
  EXPECT_ERROR(lines.next(), "test: give a file of lines, '" + file.string() + "' has one of more than 67108864 bytes");
  EXPECT_ERROR(Lines("/dev/zero", "test"), "'/dev/zero' is a device");
}

}  // namespace
