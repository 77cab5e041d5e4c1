#include "launcher/plan/source_plan.h"

#include <gtest/gtest.h>

#include "tests/support/plan_samples.h"

namespace muster::plan {
namespace {

config::RunConfig config_with_limits(std::int64_t bytes, int files) {
  config::RunConfig config = script_config(1, config::Backend::kNone);
  config.source_directory = {"src", {config::Origin::Kind::kFile, "run.yaml:1:19", Location{}}};
  config.source.limit_bytes.value = bytes;
  config.source.limit_files.value = files;
  return config;
}

SourceFacts facts(std::int64_t files, std::int64_t bytes) {
  SourceFacts facts;
  facts.files = files;
  facts.bytes = bytes;
  facts.ignore_file = ".gitignore";
  facts.largest = {{"data/", 20, 3000}, {"big.bin", 1, 1024}};
  return facts;
}

TEST(SourcePlanTest, ASourceWithinItsLimitsIsPlanned) {
  const auto plan = plan_source(config_with_limits(4096, 21), "/p/src", facts(21, 4096));
  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->limit_files, 21);
  EXPECT_EQ(source_size(plan->facts), "21 files, 4.0 KiB");
}

TEST(SourcePlanTest, TooManyFilesAreRefusedWithTheLargest) {
  const auto plan = plan_source(config_with_limits(4096, 20), "/p/src", facts(21, 4096));
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::kData);
  EXPECT_EQ(plan.error().message,
            "source_directory /p/src has 21 files, 4.0 KiB, and at most 20 files "
            "(source.limit_files) are copied; the largest: data/ (20 files, 2.9 KiB), big.bin (1.0 "
            "KiB)");
  EXPECT_EQ(
      plan.error().hint,
      "name what a run does not need in .gitignore there, raise source.limit_files, or run in it "
      "without a copy: --in-place");
  EXPECT_TRUE(plan.error().location);
}

TEST(SourcePlanTest, TooManyBytesAreRefused) {
  SourceFacts large = facts(2, 5000);
  large.ignore_file = "";
  const auto plan = plan_source(config_with_limits(4096, 20), "/p/src", large);
  ASSERT_FALSE(plan);
  EXPECT_NE(plan.error().message.find("at most 4.0 KiB (source.limit_bytes) are copied"),
            std::string::npos);
  EXPECT_NE(plan.error().hint.find(".amlignore or .gitignore there"), std::string::npos);
}

TEST(SourcePlanTest, ATreeThatNobodyCountedIsTooLarge) {
  SourceFacts endless = facts(1'000'000, 5);
  endless.complete = false;
  const auto plan = plan_source(config_with_limits(4096, 2'000'000), "/p/src", endless);
  ASSERT_FALSE(plan);
  EXPECT_NE(plan.error().message.find("has more than 1000000 files"), std::string::npos);
}

TEST(SourcePlanTest, LinksThatLeadOutAreNamed) {
  SourceFacts found = facts(2, 5);
  for (int i = 0; i < 7; ++i) found.links_outside.push_back(std::to_string(i) + " -> /x");
  const auto plan = plan_source(config_with_limits(4096, 20), "/p/src", found);
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, ErrorCode::kData);
  EXPECT_EQ(plan.error().message,
            "7 links in source_directory /p/src would not lead into the copy: 0 -> /x, 1 -> /x, 2 "
            "-> /x, 3 -> /x, 4 -> /x, and 2 more");
}

TEST(RemoteUrlTest, HasNoCredentials) {
  const std::pair<const char*, const char*> kUrls[] = {
      {"https://anna:secret@host/a/b.git", "https://host/a/b.git"},
      {"https://token@host/a@b.git", "https://host/a@b.git"},
      {"https://host/a.git?private_token=x#y", "https://host/a.git"},
      {"https://user:p@ss@host/a", "https://host/a"},
      {"http://host:8080/a", "http://host:8080/a"},
      {"ssh://git@host:22/a.git", "ssh://git@host:22/a.git"},
      {"ssh://git:secret@host:22/a.git", "ssh://git@host:22/a.git"},
      {"ssh://host/a", "ssh://host/a"},
      {"git@host:a/b.git", "git@host:a/b.git"},
      {"/srv/git/a.git", "/srv/git/a.git"},
      {"file:///srv/a@b", "file:///srv/a@b"},
      {"https://anna:secret@host", "https://host"},
  };
  for (const auto& [url, clean] : kUrls) EXPECT_EQ(url_without_credentials(url), clean);
}

TEST(GitStatusTest, IsReadFromWhatGitPrints) {
  GitState state;
  read_git_status("# branch.oid 0123abc\n# branch.head main\n", state);
  EXPECT_EQ(state.commit, "0123abc");
  EXPECT_EQ(state.branch, "main");
  EXPECT_EQ(state.dirty, false);

  state = {};
  read_git_status("# branch.oid (initial)\n# branch.head (detached)\n? new\n", state);
  EXPECT_EQ(state.commit, "");
  EXPECT_EQ(state.branch, "");
  EXPECT_EQ(state.dirty, true);
}

}  // namespace
}  // namespace muster::plan
