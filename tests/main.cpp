// Every test runs between Kokkos' initialisation and finalisation.
#include <Kokkos_Core.hpp>

#include <gtest/gtest.h>

#include <iostream>
#include <string>
#include <string_view>

namespace {

/// A filter for the tests of one file, of an executable of several.
std::string tests_of(std::string_view file) {
  std::string filter;
  auto const& all = *::testing::UnitTest::GetInstance();
  for (int s = 0; s < all.total_test_suite_count(); ++s) {
    auto const& suite = *all.GetTestSuite(s);
    for (int t = 0; t < suite.total_test_count(); ++t) {
      auto const& test = *suite.GetTestInfo(t);
      if (std::string_view(test.file()).ends_with("/" + std::string(file)))
        filter += std::string(suite.name()) + "." + test.name() + ":";
    }
  }
  return filter;
}

}  // namespace

int main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  Kokkos::ScopeGuard const kokkos(argc, argv);
  constexpr std::string_view option = "--tests_of=";
  if (argc > 1 && std::string_view(argv[1]).starts_with(option)) {
    std::string const filter = tests_of(std::string_view(argv[1]).substr(option.size()));
    if (filter.empty()) {
      std::cerr << argv[1] << ": there are no tests of that file\n";
      return 1;
    }
    GTEST_FLAG_SET(filter, filter);
  }
  return RUN_ALL_TESTS();
}
