// The documentation site as doxygen built it: no dead link, and no public name without a comment.
//
// A name is public if it is at namespace scope, outside of folders and namespaces named `detail`: types, concepts,
// functions, constants, aliases, macros. Specializations and deduction guides have the comment of their template.
// Members need one only where their name does not say it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

namespace {

namespace fs = std::filesystem;

fs::path const root = fs::path(ATTN_GOLDEN_DIR).parent_path().parent_path();

std::string content(fs::path const& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// What stands between each `before` and the next quotation mark.
template <class F>
void for_each_value(std::string const& text, std::string const& before, F const& f) {
  for (std::size_t at = text.find(before); at != std::string::npos; at = text.find(before, at)) {
    at += before.size();
    f(text.substr(at, text.find('"', at) - at));
  }
}

/// Files and anchors that the pages of a folder link to, and that are not there.
std::set<std::string> dead_links(fs::path const& folder) {
  std::map<std::string, std::set<std::string>> anchors;  // of each page
  std::map<std::string, std::string> links;              // target: one page that has it
  for (auto const& entry : fs::directory_iterator(folder)) {
    std::string const name = entry.path().filename().string();
    if (entry.path().extension() == ".html") {
      std::string const text = content(entry.path());
      auto& here = anchors[name];
      for (char const* before : {" id=\"", " name=\""})
        for_each_value(text, before, [&](std::string const& anchor) { here.insert(anchor); });
      for_each_value(text, "href=\"", [&](std::string const& target) {
        if (target.find(':') == std::string::npos)
          links.emplace(target.starts_with("#") ? name + target : target, name);
      });
    } else if (name == "navtreedata.js") {
      for_each_value(content(entry.path()), "\"", [&](std::string const& word) {
        if (word.starts_with("@ref") || word.find(".html") != std::string::npos) links.emplace(word, name);
      });
    }
  }
  std::set<std::string> dead;
  for (auto const& [target, page] : links) {
    std::size_t const hash = target.find('#');
    std::string const file = target.substr(0, hash);
    auto const found = anchors.find(file);
    std::string const anchor = hash == std::string::npos ? "" : target.substr(hash + 1);
    // doxygen 1.9.4 lists these two above a page even where it leaves them out.
    if (anchor == "nested-classes" || anchor == "concepts") continue;
    bool const fine = found != anchors.end() ? anchor.empty() || found->second.contains(anchor)
                                             : anchor.empty() && fs::exists(folder / file);
    if (!fine) dead.insert(page + " links to " + target);
  }
  return dead;
}

/// Whether a warning that something lacks a comment is about a public name.
bool is_public(std::string const& warning) {
  if (warning.find(" of class ") != std::string::npos || warning.find(" of struct ") != std::string::npos ||
      warning.find(" of union ") != std::string::npos || warning.find(") -> ") != std::string::npos)
    return false;
  std::size_t const at = warning.find("Compound ");
  if (at == std::string::npos) return true;
  std::string const name = warning.substr(at + 9, warning.find(" is not documented") - at - 9);
  if (name.find('<') != std::string::npos) return false;
  std::size_t const scope = name.rfind("::");
  std::size_t const before = scope == std::string::npos ? scope : name.rfind("::", scope - 1);
  // Types have capitals: what lies in one is a member.
  return scope == std::string::npos || before == std::string::npos || std::islower(name[before + 2]);
}

/// Warnings of doxygen that matter, without the path to the repository.
std::set<std::string> warnings(fs::path const& file) {
  std::ifstream in(file);
  std::set<std::string> all;
  std::string line;
  while (std::getline(in, line)) {
    bool const matters = line.find(" is not documented.") == std::string::npos || is_public(line);
    if (line.empty() || line.starts_with(" ") || !matters) continue;
    std::size_t const at = line.find(root.string());
    all.insert(at == 0 ? line.substr(root.string().size() + 1) : line);
  }
  return all;
}

using Lines = std::set<std::string>;

TEST(Site, HasNoDeadLinks) { EXPECT_EQ(dead_links(fs::path(ATTN_SITE_DIR) / "html"), Lines{}); }

TEST(Site, EveryPublicNameHasAComment) { EXPECT_EQ(warnings(fs::path(ATTN_SITE_DIR) / "warnings.txt"), Lines{}); }

TEST(Site, EveryPageIsInTheTree) {
  std::string const layout = content(root / "docs" / "site" / "layout.xml");
  for (auto const& entry : fs::directory_iterator(root / "docs")) {
    if (entry.path().extension() != ".md" || entry.path().stem() == "index") continue;
    EXPECT_NE(layout.find("@ref md_docs_" + entry.path().stem().string() + "\""), std::string::npos)
        << entry.path() << ": name it in docs/site/layout.xml";
  }
}

TEST(Site, FaultsAreFound) {
  fs::path const out = fs::temp_directory_path() / "attn_site_faults";
  fs::remove_all(out);
  fs::create_directories(out);
  std::string const faults = (root / "tests" / "docs" / "site_faults").string();
  std::ofstream(out / "Doxyfile") << "@INCLUDE = \"" ATTN_SITE_DIR "/Doxyfile\"\nINPUT = \"" << faults
                                  << "\"\nOUTPUT_DIRECTORY = \"" << out.string() << "\"\nWARN_LOGFILE = \""
                                  << (out / "warnings.txt").string() << "\"\nGENERATE_TAGFILE =\n"
                                  << "USE_MDFILE_AS_MAINPAGE =\nSEARCHENGINE = NO\nLAYOUT_FILE =\n";
  ASSERT_EQ(std::system((std::string(ATTN_DOXYGEN) + " " + (out / "Doxyfile").string()).c_str()), 0);
  std::string text;
  for (std::string const& line : warnings(out / "warnings.txt")) text += line + "\n";
  for (char const* fault : {"Compound attn::Undocumented is not documented",
                            "undocumented_function(int x) (function) of namespace attn is not documented",
                            "unable to resolve reference to 'attn/nn/nowhere.hpp'", "nowhere.md", "<nothing>"})
    EXPECT_NE(text.find(fault), std::string::npos) << fault << " in\n" << text;
  for (char const* good : {"member", "Tape", "not_public", "first", "second"})
    EXPECT_EQ(text.find(good), std::string::npos) << good << " in\n" << text;
  std::string dead;
  for (std::string const& line : dead_links(out / "html")) dead += line + "\n";
  EXPECT_NE(dead.find("page.md#no-such-heading"), std::string::npos) << dead;
  fs::remove_all(out);
}

}  // namespace
