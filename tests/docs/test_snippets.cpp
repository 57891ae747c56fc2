// Every C++ block of the documentation occurs in the compiled file that it names, and so does any block that names one.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

fs::path const root = fs::path(ATTN_GOLDEN_DIR).parent_path().parent_path();

/// The lines of a text without what they are indented by: a block may stand elsewhere than in its file.
std::string unindented(std::string const& text) {
  std::istringstream in(text);
  std::string line, all;
  while (std::getline(in, line)) {
    std::size_t const first = line.find_first_not_of(' ');
    all += (first == std::string::npos ? "" : line.substr(first)) + "\n";
  }
  return all;
}

std::string content(fs::path const& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

struct Block {
  std::string source;  // from the line before: <!-- examples/01_attention.cpp -->
  std::string text;
  int line;
};

std::vector<Block> blocks(std::string const& markdown) {
  std::istringstream in(markdown);
  std::vector<Block> found;
  std::string line, before;
  bool inside = false, inside_other = false;
  for (int number = 1; std::getline(in, line); ++number) {
    bool const named = before.starts_with("<!-- ") && before.ends_with(" -->");
    if (!inside && !inside_other && (line == "```cpp" || (named && line.starts_with("```")))) {
      inside = true;
      found.push_back({named ? before.substr(5, before.size() - 9) : "", "", number});
    } else if (inside && line == "```") {
      inside = false;
    } else if (!inside && line.starts_with("```")) {
      inside_other = !inside_other;
    } else if (!inside && !inside_other && line.starts_with("    ") && line.ends_with(";")) {
      found.push_back({"", "", number});  // C++ that only indentation marks
    } else if (inside) {
      found.back().text += line + "\n";
    }
    if (!line.empty()) before = line;
  }
  return found;
}

/// What is wrong with the blocks of one page.
std::string faults(std::string const& markdown, auto const& source_of) {
  std::ostringstream all;
  for (Block const& block : blocks(markdown)) {
    std::string const source = source_of(block.source);
    if (block.source.empty()) {
      all << "line " << block.line << ": name the file of this block in the line before it: <!-- examples/... -->\n";
    } else if (source.empty()) {
      all << "line " << block.line << ": there is no " << block.source << "\n";
    } else if (unindented(source).find(unindented(block.text)) == std::string::npos) {
      all << "line " << block.line << ": this block is not in " << block.source << "\n";
    }
  }
  return all.str();
}

std::string faults_of_page(fs::path const& page) {
  return faults(content(page), [](std::string const& source) { return content(root / source); });
}

TEST(Snippets, OfTheReadmeAreCompiled) { EXPECT_EQ(faults_of_page(root / "README.md"), ""); }

TEST(Snippets, OfTheDocumentationAreCompiled) {
  int pages = 0;
  for (auto const& entry : fs::directory_iterator(root / "docs")) {
    if (entry.path().extension() != ".md") continue;
    EXPECT_EQ(faults_of_page(entry.path()), "") << entry.path().filename();
    ++pages;
  }
  EXPECT_GE(pages, 4);
}

TEST(Snippets, AnEncoderWithDataAndTrainingIsWrittenInLessThan45Lines) {
  std::string const program = content(root / "examples" / "03_encoder.cpp");
  EXPECT_GT(std::count(program.begin(), program.end(), '\n'), 20);
  EXPECT_LT(std::count(program.begin(), program.end(), '\n'), 45);
}

TEST(Snippets, ThatDifferAreFound) {
  auto const source_of = [](std::string const& name) {
    return std::string(name == "a.cpp" ? "  int x = 1;\n  int y;\n" : "");
  };
  EXPECT_EQ(faults("<!-- a.cpp -->\n```cpp\nint x = 1;\n```\n", source_of), "");
  EXPECT_EQ(faults("<!-- a.cpp -->\n```cpp\nint x = 1;\nint y;\n```\n", source_of), "");
  EXPECT_EQ(faults("<!-- a.cpp -->\n```cmake\nint z;\n```\n```sh\nls\n```\n", source_of),
            "line 2: this block is not in a.cpp\n");
  EXPECT_EQ(faults("<!-- a.cpp -->\n```cpp\nint x = 2;\n```\n", source_of), "line 2: this block is not in a.cpp\n");
  EXPECT_EQ(faults("<!-- b.cpp -->\n\n```cpp\nint x = 1;\n```\n", source_of), "line 3: there is no b.cpp\n");
  EXPECT_NE(faults("as in:\n```cpp\nint x = 1;\n```\n", source_of).find("name the file"), std::string::npos);
  EXPECT_NE(faults("as in:\n\n    int x = 1;\n", source_of).find("line 3: name the file"), std::string::npos);
}

}  // namespace
