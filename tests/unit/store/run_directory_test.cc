#include "collector/store/run_directory.h"

#include <sys/stat.h>

#include "tests/support/scratch.h"

namespace muster::store {
namespace {

namespace fs = std::filesystem;

class RunDirectoryTest : public test::ScratchTest {
 protected:
  RunDirectory create(int world_size) const {
    auto run = RunDirectory::create(scratch() / "runs", "r1", world_size);
    EXPECT_TRUE(run) << run.error().message;
    return std::move(*run);
  }
};

// Tools and people know these names; a change here breaks them.
TEST_F(RunDirectoryTest, HasTheNamesThatOthersRelyOn) {
  const RunDirectory run = create(2);
  const fs::path root = scratch() / "runs/r1";
  EXPECT_EQ(run.root(), root);
  EXPECT_EQ(run.run_json(), root / "run.json");
  EXPECT_EQ(run.plan_json(), root / "plan.json");
  EXPECT_EQ(run.config_yaml(), root / "config.yaml");
  EXPECT_EQ(run.events_jsonl(), root / "events.jsonl");
  EXPECT_EQ(run.mpirun_log(), root / "mpirun.log");
  EXPECT_EQ(run.launcher_log("node-a"), root / "launcher/node-a.log");
  EXPECT_EQ(run.outputs(), root / "outputs");
  EXPECT_EQ(run.logs(), root / "logs");
  EXPECT_EQ(run.rank_stdout(3, 0), root / "ranks/00003/attempt-0/stdout.log");
  EXPECT_EQ(run.rank_stderr(12, 2), root / "ranks/00012/attempt-2/stderr.log");
  EXPECT_EQ(RunDirectory::attempt_directory(123'456, 0), "ranks/123456/attempt-0");
}

TEST_F(RunDirectoryTest, TheFoldersForWhatARunWritesAreThere) {
  const RunDirectory run = create(2);
  for (const fs::path& directory :
       {run.outputs(), run.logs(), run.launcher_log("n").parent_path(),
        run.rank_stdout(0, 0).parent_path(), run.rank_stderr(1, 0).parent_path()}) {
    EXPECT_TRUE(fs::is_directory(directory)) << directory;
  }
}

TEST_F(RunDirectoryTest, ARunIdIsUsedOnce) {
  const RunDirectory run = create(1);
  std::ofstream(run.run_json()) << "precious";
  const auto again = RunDirectory::create(scratch() / "runs", "r1", 1);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kRunDirectory);
  EXPECT_EQ(again.error().message,
            "creating the run directory " + run.root().string() + ": File exists");
  EXPECT_NE(again.error().hint, "");
  EXPECT_EQ(read(run.run_json()), "precious");
}

TEST_F(RunDirectoryTest, RunsThatCannotBeMadeSayWhere) {
  write("file", "x");
  const auto run = RunDirectory::create(scratch() / "file" / "runs", "r1", 1);
  ASSERT_FALSE(run);
  EXPECT_EQ(run.error().code, ErrorCode::kRunDirectory);
  EXPECT_NE(run.error().message.find((scratch() / "file").string()), std::string::npos);
}

TEST_F(RunDirectoryTest, TheReserveTakesSpaceAndGivesItBack) {
  const RunDirectory run = create(1);
  ASSERT_TRUE(run.hold_reserve());
  struct stat info {};
  ASSERT_EQ(::stat(run.reserve().c_str(), &info), 0);
  EXPECT_GE(info.st_blocks * 512, 1 << 18) << "a file with a hole would hold nothing back";
  run.release_reserve();
  EXPECT_FALSE(fs::exists(run.reserve()));
  run.release_reserve();  // twice is fine
}

}  // namespace
}  // namespace muster::store
