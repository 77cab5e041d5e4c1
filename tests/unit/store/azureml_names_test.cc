#include "collector/store/azureml_names.h"

#include "tests/support/scratch.h"

namespace muster::store {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

class AzuremlNamesTest : public test::ScratchTest {
 protected:
  RunDirectory create(int world_size, bool mpi = false) const {
    auto run = RunDirectory::create(scratch() / "runs", "r1", world_size);
    EXPECT_TRUE(run) << run.error().message;
    const auto linked = link_azureml_names(*run, {world_size, "node-a", mpi});
    EXPECT_TRUE(linked) << linked.error().message;
    return std::move(*run);
  }

  Names links_in(const std::string& folder) const {
    Names names;
    for (const auto& entry : fs::directory_iterator(scratch() / "runs/r1" / folder)) {
      names.push_back(entry.path().filename().string() + " -> " +
                      fs::read_symlink(entry.path()).string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }
};

const Names kLauncherLogs = {"55_azureml-execution-node-a.txt -> ../launcher/node-a.log",
                             "65_job_prep-node-a.txt -> ../launcher/node-a.log"};

TEST_F(AzuremlNamesTest, OneProcessHasSingleNames) {
  create(1);
  EXPECT_EQ(links_in("user_logs"), (Names{"std_log.txt -> ../ranks/00000/attempt-0/stdout.log"}));
  EXPECT_EQ(links_in("azureml-logs"),
            (Names{kLauncherLogs[0], kLauncherLogs[1],
                   "70_driver_log.txt -> ../ranks/00000/attempt-0/stdout.log",
                   "75_job_post-node-a.txt -> ../launcher/node-a.log"}));
}

TEST_F(AzuremlNamesTest, SeveralProcessesHaveOneNameEach) {
  create(3, true);
  EXPECT_EQ(links_in("user_logs"),
            (Names{"std_log_process_0.txt -> ../ranks/00000/attempt-0/stdout.log",
                   "std_log_process_1.txt -> ../ranks/00001/attempt-0/stdout.log",
                   "std_log_process_2.txt -> ../ranks/00002/attempt-0/stdout.log"}));
  EXPECT_EQ(links_in("azureml-logs"),
            (Names{kLauncherLogs[0], kLauncherLogs[1],
                   "70_driver_log_0.txt -> ../ranks/00000/attempt-0/stdout.log",
                   "70_driver_log_1.txt -> ../ranks/00001/attempt-0/stdout.log",
                   "70_driver_log_2.txt -> ../ranks/00002/attempt-0/stdout.log",
                   "70_mpi_log.txt -> ../mpirun.log",
                   "75_job_post-node-a.txt -> ../launcher/node-a.log"}));
}

TEST_F(AzuremlNamesTest, NumbersOfUserLogsAreAsWideAsTheLargest) {
  create(11);
  const Names logs = links_in("user_logs");
  ASSERT_EQ(logs.size(), 11U);
  EXPECT_EQ(logs.front(), "std_log_process_00.txt -> ../ranks/00000/attempt-0/stdout.log");
  EXPECT_EQ(logs.back(), "std_log_process_10.txt -> ../ranks/00010/attempt-0/stdout.log");
}

TEST_F(AzuremlNamesTest, ALogLeadsToTheRanksStdoutWhereverTheRunIsMoved) {
  const RunDirectory run = create(2);
  std::ofstream(run.rank_stdout(1, 0)) << "hello";
  fs::rename(scratch() / "runs", scratch() / "moved");
  EXPECT_EQ(read(scratch() / "moved/r1/user_logs/std_log_process_1.txt"), "hello");
  EXPECT_EQ(read(scratch() / "moved/r1/azureml-logs/70_driver_log_1.txt"), "hello");
}

TEST_F(AzuremlNamesTest, LinksThatCannotBeMadeAreAnError) {
  const RunDirectory run = create(1);
  const auto again = link_azureml_names(run, {1, "node-a", false});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kRunDirectory);
}

}  // namespace
}  // namespace muster::store
