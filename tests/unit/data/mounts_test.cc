#include "launcher/data/mounts.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <sys/stat.h>

#include "base/mounts.h"
#include "tests/support/scratch.h"

namespace muster::data {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class NobodyAsks : public StopSource {
 public:
  std::vector<int> fds() const override { return {}; }
  const std::optional<StopAsked>& poll() override { return asked; }
  std::optional<StopAsked> asked;
};

class MountsTest : public test::ScratchTest {
 protected:
  MountsTest() {
    fs::create_directories(scratch() / "logs");
    settings_.hostname = "node-a";
    settings_.data_directory = scratch() / "rt/data";
    settings_.run_directory = scratch() / "run";
    settings_.log_directory = scratch() / "logs";
    settings_.environment = {{"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}};
    settings_.reader = "/bin/true";
    settings_.mount_timeout = 500ms;
    settings_.unmount_timeout = 2s;
    settings_.on_event = [this](const std::string& what, const plan::DataItem& item,
                                const std::string&) { events_ += what + " " + item.name + "\n"; };
    settings_.notice = [](const std::string&) {};
  }

  // An input whose mount command is a line for the shell.
  void add_command(const std::string& name, const std::string& line) {
    plan::DataItem item;
    item.name = name;
    item.means = plan::DataMeans::kCommand;
    item.place.emplace();
    item.place->kind = plan::DataPlace::Kind::kCommand;
    item.place->location = "bucket/" + name;
    item.entry = item.value = item.mount_point = (settings_.data_directory / name).string();
    item.helpers.push_back({{"/bin/sh", "-c", line}, true});
    item.unmount = {"/bin/true"};
    item.read_only = true;
    plan_.items.push_back(std::move(item));
  }

  std::string started() {
    Mounts mounts(plan_, settings_);
    Preparation preparation(stops_);
    const auto done = mounts.start(preparation);
    return done ? "" : done.error().message;
  }

  plan::DataPlan plan_;
  MountSettings settings_;
  NobodyAsks stops_;
  std::string events_;
};

TEST_F(MountsTest, ACommandThatFailsIsNamedWithItsLastWords) {
  add_command("good", "sleep 60");
  add_command("bad", "echo no such bucket; exit 3");
  EXPECT_EQ(started(),
            "input bad on node-a: cannot be mounted from bucket/bad: sh exited with 3; the last "
            "words of sh:\n    no such bucket");
  EXPECT_EQ(events_.substr(0, events_.find("unmounted")),
            "requested good\nstarted good\nrequested bad\nstarted bad\n");
  EXPECT_FALSE(fs::exists(settings_.data_directory / "good"));
}

TEST_F(MountsTest, OneThatIsNeverReadyRunsOutOfTime) {
  add_command("slow", "echo waiting; exec sleep 60");
  EXPECT_EQ(started().substr(0, 60),
            "input slow on node-a: nothing was mounted from bucket/slow w");
}

TEST_F(MountsTest, ACredentialFromTheEnvironmentFileIsNotShown) {
  const fs::path secrets = write("x.env", "WORD=hunter2secret\n", 0600);
  add_command("bad", "echo login $WORD refused; exit 1");
  plan_.items.front().place->environment_file = secrets.string();
  const std::string said = started();
  EXPECT_NE(said.find("login … refused"), std::string::npos) << said;
  EXPECT_EQ(said.find("hunter2secret"), std::string::npos);
}

TEST_F(MountsTest, AStopEndsTheWaiting) {
  add_command("slow", "exec sleep 60");
  stops_.asked = StopAsked{15, "SIGTERM"};
  EXPECT_EQ(started(), "stopped by SIGTERM");
}

TEST_F(MountsTest, LinksAreMadeAndRemovedAndReplaceNothing) {
  plan::DataItem item;
  item.name = "near";
  item.means = plan::DataMeans::kLink;
  item.entry = item.value = (settings_.data_directory / "near").string();
  item.link_target = (scratch() / "somewhere").string();
  item.path_on_compute = (scratch() / "further").string();
  plan_.items.push_back(item);
  {
    Mounts mounts(plan_, settings_);
    Preparation preparation(stops_);
    ASSERT_TRUE(mounts.start(preparation));
    EXPECT_EQ(fs::read_symlink(item.entry), item.link_target);
    EXPECT_EQ(fs::read_symlink(item.path_on_compute), item.value);
  }
  EXPECT_FALSE(fs::is_symlink(item.entry));
  EXPECT_FALSE(fs::is_symlink(item.path_on_compute));
  write("further", "mine");
  EXPECT_NE(started().find("something is there already"), std::string::npos);
  EXPECT_EQ(read(item.path_on_compute), "mine");
}

TEST_F(MountsTest, ALinkOfALauncherThatWasKilledIsReplacedAndNoOtherOne) {
  plan::DataItem item;
  item.name = "near";
  item.means = plan::DataMeans::kLink;
  item.entry = item.value = (settings_.data_directory / "near").string();
  item.link_target = (scratch() / "somewhere").string();
  item.path_on_compute = (scratch() / "further").string();
  plan_.items.push_back(item);
  const std::string prefix = "muster-" + std::to_string(::getuid()) + "-";
  const fs::path gone = scratch() / (prefix + "0123abcd");
  const fs::path dead = scratch() / (prefix + "0123abce");
  const fs::path alive = scratch() / (prefix + "0123abcf");
  fs::create_directories(dead / "data");
  fs::create_directories(alive / "data");
  const Fd lock(::open(alive.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(::flock(lock.get(), LOCK_EX), 0);
  for (const fs::path& old : {gone / "data/near", dead / "data/digits/one.txt"}) {
    fs::create_symlink(old, item.path_on_compute);
    Mounts mounts(plan_, settings_);
    Preparation preparation(stops_);
    ASSERT_TRUE(mounts.start(preparation)) << old;
    EXPECT_EQ(fs::read_symlink(item.path_on_compute), item.value);
  }
  for (const fs::path& kept :
       {alive / "data/near", gone / "near", scratch() / (prefix + "backup") / "data/near",
        scratch() / "nowhere"}) {
    fs::create_symlink(kept, item.path_on_compute);
    EXPECT_NE(started().find("something is there already"), std::string::npos) << kept;
    EXPECT_EQ(fs::read_symlink(item.path_on_compute), kept);
    fs::remove(item.path_on_compute);
  }
}

}  // namespace
}  // namespace muster::data
