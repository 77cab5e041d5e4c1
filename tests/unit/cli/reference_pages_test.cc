// The pages in docs/ that the tables write.  MUSTER_UPDATE_DOCS=1 rewrites them.
#include "launcher/cli/reference_pages.h"

#include <cstdlib>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

#include "launcher/cli/options.h"

namespace muster::cli {
namespace {

TEST(ReferencePages, EnvironmentIsWhatTheTableSays) {
  const std::string path = std::string(MUSTER_TEST_DATA) + "/../../docs/environment.md";
  if (std::getenv("MUSTER_UPDATE_DOCS") != nullptr) std::ofstream(path) << environment_page();
  std::ifstream in(path);
  const std::string page{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  EXPECT_EQ(page, environment_page()) << "MUSTER_UPDATE_DOCS=1 rewrites docs/environment.md";
}

TEST(ReferencePages, EnvironmentNamesEachOptionThatHasNoVariable) {
  const std::string page = environment_page();
  for (const OptionRow& option : options()) {
    if (option.has_variable || option.hidden) continue;
    EXPECT_NE(page.find("--" + std::string(option.name) + "`"), page.npos) << option.name;
  }
}

}  // namespace
}  // namespace muster::cli
