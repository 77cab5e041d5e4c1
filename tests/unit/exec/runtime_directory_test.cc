#include "launcher/exec/runtime_directory.h"

#include <csignal>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mounts.h"
#include "base/unix_socket.h"
#include "tests/support/forked.h"
#include "tests/support/scratch.h"

namespace muster::exec {
namespace {

namespace fs = std::filesystem;
using Environment = std::map<std::string, std::string>;

std::string own_name(const std::string& rest) {
  return "muster-" + std::to_string(::getuid()) + "-" + rest;
}

class RuntimeDirectoryTest : public test::ScratchTest {
 protected:
  fs::path folder(const std::string& name) const {
    fs::create_directories(scratch() / name);
    return scratch() / name;
  }

  // Where the runtime directory is made; "error: …" when nowhere.
  static std::string chosen(const Environment& environment) {
    const auto made = make_runtime_directories(environment);
    if (!made) return "error: " + made.error().message;
    return made->runtime.path().parent_path().string();
  }

  static std::size_t entries(const fs::path& directory) {
    return static_cast<std::size_t>(
        std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
  }

  // A directory whose owner was killed: it is there, and its lock is free.
  static fs::path leave_stale_directory(const fs::path& parent) {
    const pid_t pid = ::fork();
    if (pid == 0) {
      auto made = LockedDirectory::create(parent);
      if (made) std::ofstream(made->path() / "shared-memory") << "rubbish";
      ::kill(::getpid(), SIGKILL);
    }
    ::waitpid(pid, nullptr, 0);
    return entries(parent) > 0 ? fs::directory_iterator(parent)->path() : fs::path();
  }
};

// The mounts of an input, of a launcher that was killed.
TEST_F(RuntimeDirectoryTest, UnmountsWhatADeadLauncherLeftAndKeepsTheData) {
  const fs::path parent = folder("rt");
  fs::create_directories(scratch() / "data");
  std::ofstream(scratch() / "data/precious") << "x";
  MUSTER_EXPECT_IN_FORK([&]() -> std::string {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      return test::kSkip + "no mount namespace allowed";
    }
    const fs::path stale = leave_stale_directory(parent);
    fs::create_directories(stale / "data/digits");
    if (::mount((scratch() / "data").c_str(), (stale / "data/digits").c_str(), nullptr, MS_BIND,
                nullptr) != 0) {
      return test::kSkip + "no bind mount allowed";
    }
    const auto removed = LockedDirectory::remove_stale(parent);
    if (removed.size() != 1) return "it was not removed";
    return fs::exists(stale) ? "it is still there" : "";
  });
  EXPECT_TRUE(fs::exists(scratch() / "data/precious"));
}

TEST_F(RuntimeDirectoryTest, TakesTheFirstThatIsNamed) {
  const std::string a = folder("a").string();
  const std::string b = folder("b").string();
  const std::string c = folder("c").string();
  EXPECT_EQ(chosen({{"MUSTER_RUNTIME_DIR", a}, {"XDG_RUNTIME_DIR", b}, {"TMPDIR", c}}), a);
  EXPECT_EQ(chosen({{"XDG_RUNTIME_DIR", b}, {"TMPDIR", c}}), b);
  EXPECT_EQ(chosen({{"TMPDIR", c}}), c);
  EXPECT_EQ(chosen({{"MUSTER_RUNTIME_DIR", ""}, {"TMPDIR", c}}), c) << "empty is unset";
  EXPECT_EQ(chosen({}), "/tmp");
}

TEST_F(RuntimeDirectoryTest, PassesOverWhatCannotBeUsed) {
  const std::string good = folder("good").string();
  const std::string file = write("file", "x").string();
  const std::string missing = (scratch() / "missing").string();
  for (const std::string& bad : {file, missing}) {
    EXPECT_EQ(chosen({{"MUSTER_RUNTIME_DIR", bad}, {"TMPDIR", good}}), good);
  }
}

TEST_F(RuntimeDirectoryTest, PassesOverAPathThatACommandCouldNotHoldAsItIs) {
  const std::string good = folder("good").string();
  for (const char* name : {"two words", "it's", "$HOME", "a;b", "a*", "t\xC3\xA4st", "a\\b"}) {
    EXPECT_EQ(chosen({{"MUSTER_RUNTIME_DIR", folder(name).string()}, {"TMPDIR", good}}), good);
  }
}

TEST_F(RuntimeDirectoryTest, PassesOverAPathThatIsTooLongForASocket) {
  const std::string deep = folder(std::string(90, 'd')).string();
  const std::string good = folder("good").string();
  EXPECT_EQ(chosen({{"MUSTER_RUNTIME_DIR", deep}, {"TMPDIR", good}}), good);
}

TEST_F(RuntimeDirectoryTest, TheLengthOfARelativePathIsThatOfItsAbsoluteForm) {
  folder(std::string(90, 'd'));
  MUSTER_EXPECT_IN_FORK([&]() -> std::string {
    if (::chdir((scratch() / std::string(90, 'd')).c_str()) != 0) return "no chdir";
    const auto made = make_runtime_directories({{"MUSTER_RUNTIME_DIR", "."}});
    if (!made) return made.error().message;
    const auto listener = listen_unix(made->node_socket(), 1);
    return listener ? "" : listener.error().message;
  });
}

TEST_F(RuntimeDirectoryTest, ASocketFitsWhereverItIsMade) {
  // The longest parent that is accepted.
  std::string parent;
  for (std::size_t length = 95; parent.empty() && length > scratch().string().size() + 2;
       --length) {
    const std::string name(length - scratch().string().size() - 1, 'd');
    if (chosen({{"MUSTER_RUNTIME_DIR", folder(name).string()}}) == (scratch() / name)) {
      parent = (scratch() / name).string();
    }
  }
  ASSERT_NE(parent, "");
  const auto made = make_runtime_directories({{"MUSTER_RUNTIME_DIR", parent}});
  ASSERT_TRUE(made);
  const auto listener = listen_unix(made->node_socket(), 1);
  EXPECT_TRUE(listener) << listener.error().message;
}

TEST_F(RuntimeDirectoryTest, WithoutAnyTheErrorListsEachAndWhy) {
  const std::string file = write("file", "x").string();
  MUSTER_EXPECT_IN_FORK([&]() -> std::string {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) {
      return test::kSkip + "no mount namespace allowed";
    }
    for (const char* path : {"/tmp", "/dev/shm"}) {
      if (::mount("tmpfs", path, "tmpfs", MS_RDONLY, nullptr) != 0) {
        return test::kSkip + "no tmpfs can be mounted here";
      }
    }
    const auto made = make_runtime_directories(
        {{"MUSTER_RUNTIME_DIR", "/proc/version"}, {"XDG_RUNTIME_DIR", "/nowhere"}});
    if (made) return "made in " + made->runtime.path().string();
    if (made.error().code != ErrorCode::kResources || made.error().hint.empty()) return "no hint";
    const std::string expected =
        "no directory for sockets: none of these can be used: "
        "MUSTER_RUNTIME_DIR=/proc/version (not a directory), "
        "XDG_RUNTIME_DIR=/nowhere (No such file or directory), "
        "/tmp (Read-only file system), /dev/shm (Read-only file system)";
    return made.error().message == expected ? "" : made.error().message;
  });
}

TEST_F(RuntimeDirectoryTest, IsOursAloneAndGoesAway) {
  fs::path path;
  {
    const auto made = make_runtime_directories({{"MUSTER_RUNTIME_DIR", folder("a").string()}});
    ASSERT_TRUE(made);
    path = made->runtime.path();
    struct stat info {};
    ASSERT_EQ(::stat(path.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0700U);
    EXPECT_EQ(made->node_socket(), path / "node.sock");
    EXPECT_EQ(made->metrics_fifo(3), made->mpi_shared_memory() / "metrics.3");
    std::ofstream(path / "left-behind") << "x";
  }
  EXPECT_FALSE(fs::exists(path));
  EXPECT_EQ(entries(scratch() / "a"), 0U);
}

TEST_F(RuntimeDirectoryTest, TwoLaunchersHaveTwo) {
  const auto one = LockedDirectory::create(scratch());
  const auto two = LockedDirectory::create(scratch());
  ASSERT_TRUE(one && two);
  EXPECT_NE(one->path(), two->path());
}

TEST_F(RuntimeDirectoryTest, ADirectoryOfAKilledLauncherIsRemovedByTheNextStart) {
  const fs::path stale = leave_stale_directory(folder("a"));
  ASSERT_TRUE(fs::exists(stale / "shared-memory"));
  {
    const auto made =
        make_runtime_directories({{"MUSTER_RUNTIME_DIR", (scratch() / "a").string()}});
    ASSERT_TRUE(made);
    EXPECT_FALSE(fs::exists(stale));
  }
  EXPECT_EQ(entries(scratch() / "a"), 0U);
}

TEST_F(RuntimeDirectoryTest, IsCleanedWhereItIsNotTheFirstChoiceToo) {
  const fs::path stale = leave_stale_directory(folder("b"));
  ASSERT_TRUE(fs::exists(stale));
  const auto made = make_runtime_directories(
      {{"MUSTER_RUNTIME_DIR", folder("a").string()}, {"TMPDIR", (scratch() / "b").string()}});
  EXPECT_FALSE(fs::exists(stale));
}

TEST_F(RuntimeDirectoryTest, ADirectoryOfALivingLauncherIsKept) {
  auto stay = make_pipe();
  auto ready = make_pipe();
  const pid_t pid = ::fork();
  if (pid == 0) {
    const auto made = LockedDirectory::create(scratch());
    static_cast<void>(!::write(ready->write_end.get(), "x", 1));
    stay->write_end.reset();
    char byte = 0;
    static_cast<void>(!::read(stay->read_end.get(), &byte, 1));
    ::kill(::getpid(), SIGKILL);
  }
  char byte = 0;
  ASSERT_EQ(::read(ready->read_end.get(), &byte, 1), 1);
  EXPECT_TRUE(LockedDirectory::remove_stale(scratch()).empty());
  EXPECT_EQ(entries(scratch()), 1U);
  stay->write_end.reset();
  ::waitpid(pid, nullptr, 0);
  EXPECT_EQ(LockedDirectory::remove_stale(scratch()).size(), 1U);
  EXPECT_EQ(entries(scratch()), 0U);
}

TEST_F(RuntimeDirectoryTest, WhatIsNotOursIsNotTouched) {
  folder("muster-99999-abcd1234");  // another user's, by its name
  folder("other");
  write(own_name("file"), "x");
  write("target/keep", "x");
  fs::create_directory_symlink(scratch() / "target", scratch() / own_name("link"));
  EXPECT_TRUE(LockedDirectory::remove_stale(scratch()).empty());
  EXPECT_EQ(entries(scratch()), 5U);
  EXPECT_TRUE(fs::exists(scratch() / "target/keep"));
}

// Somebody's data in a directory whose name only looks like one of ours, with a mount of theirs.
TEST_F(RuntimeDirectoryTest, WhatNoLauncherMadeIsNeitherUnmountedNorRemoved) {
  const std::vector<std::string> names = {"backup", "0123abcde", "0123abc", "0123ABCD", "0123abcd"};
  for (const std::string& name : names) {
    fs::create_directories(scratch() / own_name(name) / "m");
    write(own_name(name) + "/model.pt", "precious");
  }
  folder("elsewhere");
  MUSTER_EXPECT_IN_FORK([&]() -> std::string {
    const bool may_mount =
        ::unshare(CLONE_NEWNS) == 0 &&
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
        ::mount((scratch() / "elsewhere").c_str(), (scratch() / own_name("0123abcd") / "m").c_str(),
                nullptr, MS_BIND, nullptr) == 0;
    if (!LockedDirectory::remove_stale(scratch()).empty()) return "something was removed";
    if (may_mount && mounts_below(mount_table(), scratch()).size() != 1) return "it was unmounted";
    return "";
  });
  for (const std::string& name : names) {
    EXPECT_TRUE(fs::exists(scratch() / own_name(name) / "model.pt")) << name;
  }
}

// A cleaner that is killed half-way leaves the mark for the next one.
TEST_F(RuntimeDirectoryTest, TheMarkIsWhatMakesADirectoryOurs) {
  const fs::path stale = leave_stale_directory(folder("a"));
  ASSERT_TRUE(fs::exists(stale / ".muster-runtime"));
  fs::remove(stale / ".muster-runtime");
  EXPECT_TRUE(LockedDirectory::remove_stale(scratch() / "a").empty());
  EXPECT_TRUE(fs::exists(stale / "shared-memory"));
  fs::remove(stale / "shared-memory");
  write("a/" + stale.filename().string() + "/.muster-runtime", "");
  EXPECT_EQ(LockedDirectory::remove_stale(scratch() / "a").size(), 1U);
}

// What a launcher leaves that is killed right after its mkdir.
TEST_F(RuntimeDirectoryTest, AnEmptyDirectoryThatNobodyHoldsIsRubbish) {
  folder(own_name("0123abcd"));
  EXPECT_EQ(LockedDirectory::remove_stale(scratch()).size(), 1U);
}

// Makers and cleaners in one place: whoever has a directory keeps it.
TEST_F(RuntimeDirectoryTest, ACleanerNeverTakesADirectoryThatIsBeingMade) {
  std::atomic<bool> done{false};
  std::thread cleaner([&] {
    while (!done) LockedDirectory::remove_stale(scratch());
  });
  for (int round = 0; round < 200; ++round) {
    const auto made = LockedDirectory::create(scratch());
    ASSERT_TRUE(made) << made.error().message;
    std::ofstream(made->path() / "file") << "x";
    EXPECT_TRUE(fs::exists(made->path() / "file"));
  }
  done = true;
  cleaner.join();
  EXPECT_EQ(entries(scratch()), 0U);
}

TEST_F(RuntimeDirectoryTest, MovingKeepsTheDirectory) {
  auto made = LockedDirectory::create(scratch());
  ASSERT_TRUE(made);
  const fs::path path = made->path();
  LockedDirectory owner;
  owner = std::move(*made);
  EXPECT_TRUE(fs::exists(path));
  EXPECT_TRUE(LockedDirectory::remove_stale(scratch()).empty()) << "and its lock";
}

}  // namespace
}  // namespace muster::exec
