#include "launcher/exec/folder_claim.h"

#include <csignal>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/scratch.h"

namespace muster::exec {
namespace {

namespace fs = std::filesystem;
using Runs = std::vector<std::string>;

class FolderClaimTest : public test::ScratchTest {
 protected:
  void SetUp() override {
    ScratchTest::SetUp();
    fs::create_directories(scratch() / "work");
    fs::create_directories(scratch() / "elsewhere");
  }

  FolderClaim claim(const std::string& folder, const std::string& run) const {
    auto taken =
        FolderClaim::take({{"MUSTER_LEASE_DIR", place().string()}}, scratch() / folder, run);
    EXPECT_TRUE(taken) << taken.error().message;
    return std::move(*taken);
  }

  fs::path place() const { return scratch() / "leases"; }

  std::size_t files() const {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(place()), fs::directory_iterator()));
  }
};

TEST_F(FolderClaimTest, TwoRunsInOneDirectoryKnowOfEachOther) {
  const FolderClaim first = claim("work", "/runs/a");
  const FolderClaim elsewhere = claim("elsewhere", "/runs/x");
  EXPECT_EQ(first.others(), Runs());
  {
    // By another name of the same directory; it is gone before the first one looks.
    fs::create_directory_symlink(scratch() / "work", scratch() / "link");
    const FolderClaim second = claim("link", "/runs/b");
    EXPECT_EQ(second.others(), Runs{"/runs/a"});
  }
  EXPECT_EQ(first.others(), Runs{"/runs/b"});
  const FolderClaim third = claim("work", "/runs/c");
  EXPECT_EQ(third.others(), Runs{"/runs/a"}) << "b has ended before";
  EXPECT_EQ(first.others(), (Runs{"/runs/b", "/runs/c"}));
  EXPECT_EQ(elsewhere.others(), Runs());
}

TEST_F(FolderClaimTest, ARunWhoseLauncherWasKilledIsNobody) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    const FolderClaim killed = claim("work", "/runs/killed");
    ::kill(::getpid(), SIGKILL);
  }
  ::waitpid(pid, nullptr, 0);
  ASSERT_EQ(files(), 1U);
  {
    const FolderClaim next = claim("work", "/runs/next");
    EXPECT_EQ(next.others(), Runs());
    EXPECT_EQ(files(), 1U) << "the stale one is removed";
  }
  EXPECT_EQ(files(), 0U);
}

}  // namespace
}  // namespace muster::exec
