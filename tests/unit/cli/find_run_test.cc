#include "launcher/cli/find_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/scratch.h"

namespace muster::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FindRun : public test::ScratchTest {
 protected:
  void add_run(const std::string& id, const std::string& created_at) const {
    write("runs/" + id + "/run.json",
          R"({"plan": {"created_at": "not this one"}, "created_at": ")" + created_at + "\"}");
  }
  std::filesystem::path runs() const { return scratch() / "runs"; }
  std::string found(const std::string& word) const {
    const auto run = find_run(word, runs());
    return run ? run->run_id : "error: " + run.error().message;
  }
};

TEST_F(FindRun, TakesAnIdItsBeginningAndADirectory) {
  add_run("20261123-061500-3fa2", "2026-11-23T06:15:00.000000Z");
  add_run("20261124-000000-0000", "2026-11-24T00:00:00.000000Z");
  EXPECT_EQ(found("20261123-061500-3fa2"), "20261123-061500-3fa2");
  EXPECT_EQ(found("20261123"), "20261123-061500-3fa2");
  EXPECT_EQ(found((runs() / "20261124-000000-0000/").string()), "20261124-000000-0000");
  EXPECT_EQ(find_run("20261123", runs())->directory.root(), runs() / "20261123-061500-3fa2");
}

TEST_F(FindRun, PrefersAnIdToTheBeginningOfAnother) {
  add_run("sweep", "2026-11-23T06:15:00.000000Z");
  add_run("sweep-2", "2026-11-23T06:16:00.000000Z");
  EXPECT_EQ(found("sweep"), "sweep");
}

TEST_F(FindRun, TakesTheNewestByItsCreationWhateverItIsCalled) {
  add_run("zz", "2026-11-23T06:15:00.000001Z");
  add_run("aa", "2026-11-23T06:15:00.000002Z");
  EXPECT_EQ(found(""), "error: the run's name is empty");
  EXPECT_EQ(found("latest"), "aa");
  std::vector<std::string> ids;
  for (const FoundRun& run : list_runs(runs())) ids.push_back(run.run_id);
  EXPECT_THAT(ids, ElementsAre("aa", "zz"));
}

TEST_F(FindRun, PassesOverWhatIsNoRunAndSurvivesABrokenRecord) {
  write("runs/notes.txt", "");
  std::filesystem::create_directories(runs() / "empty");
  write("runs/broken/run.json", "{\"created_at\": ");
  EXPECT_EQ(found("latest"), "broken");
  add_run("good", "2026-11-23T06:15:00.000000Z");
  EXPECT_EQ(found("latest"), "good");
}

TEST_F(FindRun, ListsTheRunsThatCouldBeMeant) {
  add_run("20261123-061500-3fa2", "2026-11-23T06:15:00.000000Z");
  add_run("20261123-061501-1111", "2026-11-23T06:15:01.000000Z");
  const auto ambiguous = find_run("20261123", runs());
  ASSERT_FALSE(ambiguous);
  EXPECT_EQ(ambiguous.error().code, ErrorCode::kUsage);
  EXPECT_THAT(ambiguous.error().message, HasSubstr("begins the ids of 2 runs"));
  EXPECT_EQ(ambiguous.error().hint,
            "write more of one of 20261123-061501-1111, 20261123-061500-3fa2");
}

TEST_F(FindRun, SuggestsTheNearestOfThoseThatAreThere) {
  add_run("resnet-a", "2026-11-23T06:15:00.000000Z");
  EXPECT_EQ(find_run("resent-a", runs()).error().hint, "did you mean \"resnet-a\"?");
  EXPECT_THAT(find_run("x", runs()).error().hint, HasSubstr("resnet-a"));
}

TEST_F(FindRun, SaysWhereItLookedWhenThereIsNone) {
  const auto none = find_run("latest", runs());
  ASSERT_FALSE(none);
  EXPECT_THAT(none.error().message, HasSubstr(runs().string()));
  EXPECT_THAT(none.error().hint, HasSubstr("--runs-dir"));
}

}  // namespace
}  // namespace muster::cli
