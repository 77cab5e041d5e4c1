#include "launcher/plan/pip_options.h"

#include <gtest/gtest.h>

namespace muster::plan {
namespace {

std::string said(const std::vector<std::string>& words) {
  std::vector<config::Setting<std::string>> options;
  for (const std::string& word : words) options.push_back({word, {}});
  const auto checked = check_pip_options(options);
  return checked ? "" : checked.error().message;
}

TEST(PipOptions, ThatLeadElsewhereAreRefused) {
  const std::string elsewhere = " has pip install somewhere else than in the environment";
  EXPECT_EQ(said({"--user"}), "pip_options: \"--user\"" + elsewhere);
  EXPECT_EQ(said({"--pre", "--target", "/d"}), "pip_options: \"--target\"" + elsewhere);
  EXPECT_EQ(said({"--targ=/d"}), "pip_options: \"--targ\" (--target)" + elsewhere);
  EXPECT_EQ(said({"--prefix=/d"}), "pip_options: \"--prefix\"" + elsewhere);
  EXPECT_EQ(said({"--pref", "/d"}), "pip_options: \"--pref\" (--prefix)" + elsewhere);
  for (const char* word : {"-t", "-t/d", "-Ut", "-qvt/d", "--no-deps -t /d"}) {
    EXPECT_EQ(said({word}), "pip_options: \"-t\"" + elsewhere) << word;
  }
  for (const char* word : {"--root=/d", "--roo", "--us", "--python=python3", "--user --pre"}) {
    EXPECT_NE(said({word}), "") << word;
  }
}

TEST(PipOptions, ThatInstallNothingAreRefused) {
  EXPECT_EQ(said({"--dry-run"}), "pip_options: \"--dry-run\" has pip install nothing");
  EXPECT_EQ(said({"--dry"}), "pip_options: \"--dry\" (--dry-run) has pip install nothing");
  for (const char* word : {"--help", "-h", "-V", "--version"}) EXPECT_NE(said({word}), "") << word;
}

TEST(PipOptions, ThatChooseWhatIsInstalledAreTaken) {
  for (const char* word :
       {"--pre", "--prefer-binary", "--find-links", "./t", "-f/t", "-ihttps://host/t", "-U", "-qq",
        "--root-user-action=ignore", "--python-version=3.11", "--no-deps", "--trusted-host=t",
        "--timeout=5", "--upgrade", "--use-pep517", "-", "--", "-c/d/t"}) {
    EXPECT_EQ(said({word}), "") << word;
  }
}

}  // namespace
}  // namespace muster::plan
