// Every link of a page leads to a file or a heading, and every path of the repository that a page names is there.
#include <gtest/gtest.h>

#include <cctype>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <string_view>

namespace {

namespace fs = std::filesystem;

fs::path const root = fs::path(ATTN_GOLDEN_DIR).parent_path().parent_path();

/// The page without blocks of code.
std::string prose(fs::path const& page) {
  std::ifstream in(page);
  std::string line, text;
  bool inside = false;
  while (std::getline(in, line)) {
    std::string_view const start = std::string_view(line).substr(std::min(line.find_first_not_of(' '), line.size()));
    if (start.starts_with("```")) {
      inside = !inside;
    } else if (!inside) {
      text += line + "\n";
    }
  }
  return text;
}

/// What links to headings end with: lower case, words joined by hyphens.
std::set<std::string> anchors(fs::path const& page) {
  std::istringstream in(prose(page));
  std::set<std::string> all;
  std::string line;
  while (std::getline(in, line)) {
    if (!line.starts_with("#")) continue;
    std::string anchor;
    for (unsigned char const c : line.substr(std::min(line.find_first_not_of("# "), line.size()))) {
      if (std::isalnum(c) || c == '_' || c == '-' || c >= 128) anchor += static_cast<char>(std::tolower(c));
      if (c == ' ') anchor += '-';
    }
    all.insert(anchor);
  }
  return all;
}

bool is_there(std::string const& path) {
  for (char const* folder : {"", "include", "include/attn", "include/attn/attention/detail", "include/attn/detection",
                             "include/attn/attention", "examples", "tests", "bench", "docs"})
    if (fs::exists(root / folder / path)) return true;
  return false;
}

/// Whether a word between backticks is a path of this repository. Patterns and names of what programs write are not.
bool is_path(std::string const& word) {
  if (word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-") != std::string::npos)
    return false;
  for (char const* folder : {"docs/", "examples/", "tests/", "bench/", "cmake/", "include/"})
    if (word.starts_with(folder)) return true;
  return word.ends_with(".hpp") && word.find('/') != std::string::npos;
}

std::string faults(fs::path const& page) {
  std::ostringstream all;
  std::string const text = prose(page);
  for (std::size_t at = text.find("]("); at != std::string::npos; at = text.find("](", at + 2)) {
    std::string const target = text.substr(at + 2, text.find(')', at) - at - 2);
    if (target.starts_with("http://") || target.starts_with("https://")) continue;
    std::size_t const hash = target.find('#');
    fs::path const file = hash == 0 ? page : page.parent_path() / target.substr(0, hash);
    if (!fs::exists(file)) {
      all << "link to " << target << ": there is no such file\n";
    } else if (hash != std::string::npos && !anchors(file).contains(target.substr(hash + 1))) {
      all << "link to " << target << ": there is no such heading\n";
    }
  }
  for (std::size_t at = text.find('`'); at != std::string::npos;) {
    std::size_t const end = text.find('`', at + 1);
    if (end == std::string::npos) break;
    std::string const word = text.substr(at + 1, end - at - 1);
    if (is_path(word) && !is_there(word)) all << word << ": there is no such file\n";
    at = text.find('`', end + 1);
  }
  return all.str();
}

TEST(Links, LeadSomewhere) {
  for (char const* page : {"README.md", "CONTRIBUTING.md"}) EXPECT_EQ(faults(root / page), "") << page;
  for (auto const& entry : fs::directory_iterator(root / "docs")) {
    if (entry.path().extension() != ".md") continue;
    EXPECT_EQ(faults(entry.path()), "") << entry.path().filename();
  }
}

TEST(Links, ThatLeadNowhereAreFound) {
  EXPECT_EQ(faults(root / "tests" / "docs" / "site_faults" / "page.md"),
            "link to nowhere.md: there is no such file\n"
            "link to page.md#no-such-heading: there is no such heading\n"
            "docs/nowhere.md: there is no such file\n"
            "nn/nowhere.hpp: there is no such file\n");
}

std::string content(fs::path const& path) {
  std::ifstream in(root / path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

TEST(Version, IsTheSameInEveryRecipe) {
  std::string const text = content("include/attn/version.hpp");
  std::string version;
  for (std::string const part : {"MAJOR ", "MINOR ", "PATCH "}) {
    std::size_t const at = text.find("ATTN_VERSION_" + part) + 13 + part.size();
    version += (version.empty() ? "" : ".") + text.substr(at, text.find_first_not_of("0123456789", at) - at);
  }
  for (auto const& [file, before] : {std::pair{"cmake/packaging/vcpkg/attn/vcpkg.json", "\"version\": \""},
                                     {"cmake/packaging/debian/changelog", "attn ("},
                                     {"cmake/packaging/spack/spack_repo/attn/packages/attn/package.py", "tag=\"v"},
                                     {"docs/CITATION.cff", "\nversion: "},
                                     {"CHANGELOG.md", "\n## "}})
    EXPECT_NE(content(file).find(before + version), std::string::npos) << file << ": " << before << version;
}

}  // namespace
