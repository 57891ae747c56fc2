#include "attn/io/report.hpp"

#include <gtest/gtest.h>

#include <string>

#include "io/files.hpp"

namespace {

using namespace attn::testing;
using attn::io::Json;
using attn::io::Report;
using attn::io::Results;

TEST(Base64, MatchesTheExamplesOfItsStandard) {
  using attn::io::detail::base64;
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64(std::string("\xff\xfe\x00", 3)), "//4A");
}

class ReportFile : public ::testing::Test {
 protected:
  ReportFile() {
    for (char const* const activation : {"softmax", "poly"}) {
      Json run = {{"activation", activation}, {"power", 3}, {"scale", "none"}, {"seed", 1}};
      run["test_accuracy"] = 0.87654321;
      run["seconds"] = 12;
      run["loss"] = nullptr;
      results.add(run);
    }
  }
  std::string written(Report const& report) const {
    attn::io::write_report(directory / "report.html", report, results);
    return content(directory / "report.html");
  }
  TemporaryDirectory directory;
  Results results;
};

TEST_F(ReportFile, ShowsRunsSettingsAndPicturesInOneFile) {
  put(directory / "loss.png", "foobar");
  std::string const html = written({.title = "Attention",
                                    .paragraphs = {"All images."},
                                    .settings = {{"epochs", "3"}},
                                    .figures = {{directory / "loss.png", "Loss over epochs."}}});
  for (char const* const part :
       {"<title>Attention</title>", "<p>All images.</p>", "<th>test accuracy</th>", ">0.8765</td>", ">12</td>",
        "<td>poly</td>", "<th>epochs</th><td>3</td>", "data:image/png;base64,Zm9vYmFy",
        "<figcaption>Loss over epochs.</figcaption>", "</html>"}) {
    EXPECT_NE(html.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(html.find("http"), std::string::npos) << "nothing is fetched from elsewhere";
}

TEST_F(ReportFile, ShowsOnlyTheColumnsAskedFor) {
  std::string const html = written({.title = "t", .columns = {"activation", "no_such"}});
  EXPECT_NE(html.find("<th>no such</th>"), std::string::npos);
  EXPECT_EQ(html.find("<th>seed</th>"), std::string::npos);
}

TEST_F(ReportFile, TextIsNeverMarkup) {
  std::string const html = written({.title = "<script>&\"'", .settings = {{"<b>", "</td>"}}});
  EXPECT_EQ(html.find("<script>"), std::string::npos);
  EXPECT_NE(html.find("&lt;script&gt;&amp;&quot;&#39;"), std::string::npos);
  EXPECT_NE(html.find("<th>&lt;b&gt;</th><td>&lt;/td&gt;</td>"), std::string::npos);
}

TEST_F(ReportFile, PictureThatWasNotDrawnIsNamed) {
  EXPECT_NE(written({.title = "t", .figures = {{directory / "norms.png", "Norms."}}}).find("norms.png was not drawn"),
            std::string::npos);
}

TEST_F(ReportFile, FullDiskIsAnError) {
  EXPECT_ERROR(attn::io::write_report("/dev/full", {.title = "t"}, results), "No space left on device");
}

}  // namespace
