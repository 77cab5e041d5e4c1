#include "collector/outputs/output_folders.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <random>
#include <thread>

#include "collector/store/verify.h"
#include "tests/support/scratch.h"

namespace muster::outputs {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using store::FileForm;

const KeepOn kAlways = [] { return Result<>(); };

// A working directory with outputs and logs, and a run directory; looks are made by hand.
class OutputFoldersTest : public test::ScratchTest {
 protected:
  void SetUp() override {
    ScratchTest::SetUp();
    fs::create_directories(run_.state());
    fs::create_directories(run_.outputs());
    fs::create_directories(run_.logs());
    fs::create_directories(work() / "outputs");
    fs::create_directories(work() / "logs");
    options_.working_directory = work();
    options_.folders = {{{"outputs", work() / "outputs"}}, {{"logs", work() / "logs"}}};
    options_.tracker.settle = 50ms;
    options_.tracker.first_retry = 10ms;
    options_.tracker.longest_retry = 40ms;
  }

  fs::path work() const { return scratch() / "work"; }
  fs::path stored(const std::string& path) const { return run_.root() / path; }

  OutputFolders& folders() {
    if (!folders_) folders_.emplace(run_, options_);
    return *folders_;
  }

  // Until that is so; looks come as fast as a test can wait for them.
  bool look_until(const std::function<bool()>& is_so) {
    for (int i = 0; i < 600; ++i) {
      folders().step(kAlways);
      if (is_so()) return true;
      std::this_thread::sleep_for(10ms);
    }
    return false;
  }

  bool is_stored(const std::string& path, std::string_view text) const {
    return fs::exists(stored(path)) && read(stored(path)) == text;
  }

  store::FileStates states() const {
    auto states = store::read_manifest(run_.files_jsonl());
    return states ? *states : store::FileStates();
  }

  std::vector<std::string> paths_stored() const {
    std::vector<std::string> all;
    for (const auto& entry : fs::recursive_directory_iterator(run_.root())) {
      const std::string path = entry.path().lexically_relative(run_.root()).string();
      if (!entry.is_directory() && !path.starts_with(".muster")) all.push_back(path);
    }
    std::sort(all.begin(), all.end());
    return all;
  }

  using Paths = std::vector<std::string>;

  store::RunDirectory run_{scratch() / "run"};
  OutputFoldersOptions options_;
  std::optional<OutputFolders> folders_;
};

TEST_F(OutputFoldersTest, StoresSettledFilesWithTheirModesAndTimes) {
  write("work/outputs/deep/model.bin", "weights", 04750);
  ASSERT_TRUE(look_until([&] { return is_stored("outputs/deep/model.bin", "weights"); }));
  struct stat from {};
  struct stat to {};
  ASSERT_EQ(::stat((work() / "outputs/deep/model.bin").c_str(), &from), 0);
  ASSERT_EQ(::stat(stored("outputs/deep/model.bin").c_str(), &to), 0);
  EXPECT_EQ(to.st_mode & 07777U, 0750U) << "never setuid";
  EXPECT_EQ(to.st_mtim.tv_nsec, from.st_mtim.tv_nsec);
  const auto state = states().at("outputs/deep/model.bin");
  ASSERT_TRUE(state.stored);
  EXPECT_EQ(state.stored->size, 7U);
  EXPECT_EQ(state.stored->xxh3, store::digest_of("weights"));
  EXPECT_EQ(state.stored->generation, 1U);
  EXPECT_EQ(state.stored->form, FileForm::kWhole);
  EXPECT_TRUE(fs::is_empty(run_.incoming()));
}

TEST_F(OutputFoldersTest, ANewContentIsANewGenerationUnderANewFile) {
  write("work/outputs/a", "one");
  ASSERT_TRUE(look_until([&] { return is_stored("outputs/a", "one"); }));
  const Fd old(::open(stored("outputs/a").c_str(), O_RDONLY | O_CLOEXEC));
  write("work/outputs/a", "three");
  ASSERT_TRUE(look_until([&] { return is_stored("outputs/a", "three"); }));
  char bytes[8] = {};
  EXPECT_EQ(::read(old.get(), bytes, sizeof bytes), 3) << "who reads the old one reads it whole";
  EXPECT_EQ(states().at("outputs/a").stored->generation, 2U);
}

TEST_F(OutputFoldersTest, WhatGrowsIsExtendedInPlace) {
  write("work/logs/run.log", "line 1\n");
  ASSERT_TRUE(look_until([&] { return is_stored("logs/run.log", "line 1\n"); }));
  struct stat before {};
  ASSERT_EQ(::stat(stored("logs/run.log").c_str(), &before), 0);
  for (int i = 2; i < 6; ++i) {
    std::ofstream(work() / "logs/run.log", std::ios::app) << "line " << i << "\n";
    const std::string all = read(work() / "logs/run.log");
    ASSERT_TRUE(look_until([&] { return is_stored("logs/run.log", all); })) << i;
  }
  struct stat after {};
  ASSERT_EQ(::stat(stored("logs/run.log").c_str(), &after), 0);
  EXPECT_EQ(after.st_ino, before.st_ino) << "TensorBoard follows the file";
  folders().finish(kAlways);
  const auto entry = *states().at("logs/run.log").stored;
  EXPECT_EQ(entry.form, FileForm::kAppend);
  EXPECT_EQ(entry.generation, 1U);
}

TEST_F(OutputFoldersTest, HowFarAFileHasGrownIsRecordedAtTheEnd) {
  std::string all;
  for (int i = 0; i < 5; ++i) {
    all += "line\n";
    write("work/logs/run.log", all);
    ASSERT_TRUE(look_until([&] { return is_stored("logs/run.log", all); }));
  }
  folders().finish(kAlways);
  const auto state = states().at("logs/run.log");
  ASSERT_TRUE(state.stored);
  EXPECT_EQ(state.stored->size, all.size());
  EXPECT_EQ(state.stored->xxh3, store::digest_of(all));
}

TEST_F(OutputFoldersTest, ALogThatIsWrittenAnewIsANewGeneration) {
  write("work/logs/run.log", "the first text of this log\n");
  ASSERT_TRUE(look_until([&] { return fs::exists(stored("logs/run.log")); }));
  write("work/logs/run.log", "another, and it is longer than the first one was\n");
  ASSERT_TRUE(look_until([&] {
    return is_stored("logs/run.log", "another, and it is longer than the first one was\n");
  }));
  write("work/logs/run.log", "short\n");
  ASSERT_TRUE(look_until([&] { return is_stored("logs/run.log", "short\n"); }));
}

TEST_F(OutputFoldersTest, AFileWithAnyNameThatOnlyGrewIsExtended) {
  write("work/outputs/train.out", std::string(5000, 'x'));
  ASSERT_TRUE(look_until([&] { return fs::exists(stored("outputs/train.out")); }));
  struct stat before {};
  ASSERT_EQ(::stat(stored("outputs/train.out").c_str(), &before), 0);
  std::ofstream(work() / "outputs/train.out", std::ios::app) << "more";
  ASSERT_TRUE(look_until([&] { return fs::file_size(stored("outputs/train.out")) == 5004; }));
  struct stat after {};
  ASSERT_EQ(::stat(stored("outputs/train.out").c_str(), &after), 0);
  EXPECT_EQ(after.st_ino, before.st_ino);
  EXPECT_EQ(states().at("outputs/train.out").stored->form, FileForm::kAppend);
}

TEST_F(OutputFoldersTest, AHeadThatChangedUnderAKeptTailIsFoundAtTheEnd) {
  const std::string tail(8192, 't');
  write("work/logs/run.log", "head A " + tail);
  ASSERT_TRUE(look_until([&] { return fs::exists(stored("logs/run.log")); }));
  write("work/logs/run.log", "head B " + tail + "more");
  ASSERT_TRUE(look_until([&] { return fs::file_size(stored("logs/run.log")) > 8199; }));
  folders().finish(kAlways);
  EXPECT_EQ(read(stored("logs/run.log")), "head B " + tail + "more");
}

TEST_F(OutputFoldersTest, ADeletedFilesCopyIsKeptAndSaid) {
  write("work/outputs/a", "x");
  ASSERT_TRUE(look_until([&] { return fs::exists(stored("outputs/a")); }));
  fs::remove(work() / "outputs/a");
  ASSERT_TRUE(look_until([&] { return states().at("outputs/a").deleted; }));
  EXPECT_EQ(read(stored("outputs/a")), "x");
  write("work/outputs/a", "again");
  ASSERT_TRUE(look_until([&] { return is_stored("outputs/a", "again"); }));
  EXPECT_FALSE(states().at("outputs/a").deleted);
  EXPECT_EQ(states().at("outputs/a").stored->generation, 2U);
}

// A name that was one kind of thing and is another, there and back again: what is stored is what
// there is, and what made way is on record.  Seen while ranks run, and at the end only.
TEST_F(OutputFoldersTest, ANameMayBecomeAnotherKindOfThing) {
  enum Kind { kFile, kFolder, kLink };
  const auto make = [&](Kind kind, const std::string& path) {
    fs::remove_all(work() / path);
    if (kind == kFile) write("work/" + path, "a file");
    if (kind == kFolder) write("work/" + path + "/deep/in", "in it");
    if (kind == kLink) fs::create_symlink("there", work() / path);
  };
  const auto is_so = [&](Kind kind, const std::string& path) {
    const fs::path at = stored(path);
    const auto status = fs::symlink_status(at);
    switch (kind) {
      case kFile: return fs::is_regular_file(status) && read(at) == "a file";
      case kFolder: return fs::is_directory(status) && is_stored(path + "/deep/in", "in it");
      case kLink: return fs::is_symlink(status) && fs::read_symlink(at) == "there";
    }
    return false;
  };
  const auto name_of = [](int from, int to) {
    return "outputs/from-" + std::to_string(from) + "-to-" + std::to_string(to);
  };
  const std::vector<Kind> kinds = {kFile, kFolder, kLink};
  const auto each = [&](const std::function<void(Kind, Kind, const std::string&)>& do_it) {
    for (const Kind from : kinds) {
      for (const Kind to : kinds) {
        if (from != to) do_it(from, to, name_of(from, to));
      }
    }
  };
  write("work/outputs/there", "x");
  each([&](Kind from, Kind, const std::string& path) { make(from, path); });
  const auto all_are = [&](bool first) {
    bool all = true;
    each([&](Kind from, Kind to, const std::string& path) {
      all = all && is_so(first ? from : to, path);
    });
    return all;
  };
  ASSERT_TRUE(look_until([&] { return all_are(true); }));
  each([&](Kind, Kind to, const std::string& path) { make(to, path); });
  EXPECT_TRUE(look_until([&] { return all_are(false); }));
  each([&](Kind from, Kind, const std::string& path) { make(from, path); });
  const auto ends = folders().finish(kAlways);
  EXPECT_EQ(ends.at(0).problem_count, 0U)
      << (ends.at(0).problems.empty() ? "" : ends.at(0).problems.front().message);
  each([&](Kind from, Kind to, const std::string& path) {
    EXPECT_TRUE(is_so(from, path)) << path;
    const auto all = states();
    const auto gone = all.at(to == kFolder ? path + "/deep/in" : path);
    if (from == kFolder || to == kFolder) {
      EXPECT_EQ(gone.copy_gone, from == kFolder || to == kFolder) << path;
      EXPECT_TRUE(gone.deleted) << path;
    }
    const auto now = all.at(from == kFolder ? path + "/deep/in" : path);
    EXPECT_FALSE(now.deleted) << path;
    EXPECT_GE(now.stored->generation, 2U) << path;
  });
  const auto checked = store::verify(run_);
  ASSERT_TRUE(checked);
  EXPECT_EQ(checked->problems(), std::vector<std::string>());
  EXPECT_TRUE(fs::is_empty(run_.incoming()));
}

TEST_F(OutputFoldersTest, EmptyFoldersAreThereAtTheEnd) {
  fs::create_directories(work() / "outputs/empty/inner");
  write("work/outputs/was-a-file", "x");
  ASSERT_TRUE(look_until([&] { return is_stored("outputs/was-a-file", "x"); }));
  fs::remove(work() / "outputs/was-a-file");
  fs::create_directories(work() / "outputs/was-a-file");
  fs::create_directories(work() / "logs/all-there-is");
  for (const auto& end : folders().finish(kAlways)) EXPECT_EQ(end.problem_count, 0U);
  EXPECT_TRUE(fs::is_directory(stored("outputs/empty/inner")));
  EXPECT_TRUE(fs::is_directory(stored("outputs/was-a-file")));
  EXPECT_TRUE(fs::is_directory(stored("logs/all-there-is")));
}

TEST_F(OutputFoldersTest, LinksStayWhenTheyLeadInside) {
  write("work/outputs/ckpt/7.bin", "seven");
  fs::create_symlink("ckpt/7.bin", work() / "outputs/latest");
  fs::create_symlink(work() / "outputs/ckpt/7.bin", work() / "outputs/absolute");
  fs::create_symlink("../logs/x", work() / "outputs/to-logs");
  fs::create_symlink("../../../etc/passwd", work() / "outputs/evil");
  fs::create_symlink("/etc/passwd", work() / "outputs/evil2");
  fs::create_symlink("loop", work() / "outputs/loop");
  fs::create_symlink("..", work() / "outputs/ckpt/up");
  const auto ends = folders().finish(kAlways);
  EXPECT_EQ(read(stored("outputs/latest")), "seven");
  EXPECT_EQ(fs::read_symlink(stored("outputs/latest")), "ckpt/7.bin");
  EXPECT_EQ(fs::read_symlink(stored("outputs/absolute")), "ckpt/7.bin");
  EXPECT_EQ(fs::read_symlink(stored("outputs/to-logs")), "../logs/x");
  EXPECT_EQ(fs::read_symlink(stored("outputs/loop")), "loop");
  EXPECT_FALSE(fs::exists(fs::symlink_status(stored("outputs/evil"))));
  EXPECT_FALSE(fs::exists(fs::symlink_status(stored("outputs/evil2"))));
  EXPECT_EQ(ends.at(0).refused, 2U);
  EXPECT_EQ(ends.at(0).problem_count, 0U);
  EXPECT_NE(states().at("outputs/evil").refused, "");
  const auto events = folders().take_events();
  EXPECT_EQ(std::count_if(events.begin(), events.end(),
                          [](const FileEvent& event) { return event.what == "output_refused"; }),
            2);
}

TEST_F(OutputFoldersTest, HardLinksAreStoredOnce) {
  write("work/outputs/a.bin", std::string(100'000, 'a'));
  fs::create_hard_link(work() / "outputs/a.bin", work() / "outputs/b.bin");
  ASSERT_TRUE(look_until([&] { return fs::exists(stored("outputs/b.bin")); }));
  EXPECT_TRUE(fs::equivalent(stored("outputs/a.bin"), stored("outputs/b.bin")));
  EXPECT_EQ(states().at("outputs/b.bin").stored->form, FileForm::kLink);
  EXPECT_EQ(states().at("outputs/b.bin").stored->target, "outputs/a.bin");
  // Both names get the new content.
  write("work/outputs/b.bin", "new");
  ASSERT_TRUE(look_until(
      [&] { return is_stored("outputs/a.bin", "new") && is_stored("outputs/b.bin", "new"); }));
}

TEST_F(OutputFoldersTest, HolesStayHoles) {
  const fs::path path = work() / "outputs/sparse.bin";
  std::ofstream(path) << "begin";
  fs::resize_file(path, std::uint64_t{1} << 30);
  const Fd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::pwrite(file.get(), "middle", 6, off_t{1} << 29), 6);
  ASSERT_TRUE(look_until([&] { return fs::exists(stored("outputs/sparse.bin")); }));
  struct stat from {};
  struct stat to {};
  ASSERT_EQ(::stat(path.c_str(), &from), 0);
  ASSERT_EQ(::stat(stored("outputs/sparse.bin").c_str(), &to), 0);
  EXPECT_EQ(to.st_size, from.st_size);
  EXPECT_LE(to.st_blocks, 2 * from.st_blocks);
  char middle[6];
  const Fd copy(::open(stored("outputs/sparse.bin").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::pread(copy.get(), middle, 6, off_t{1} << 29), 6);
  EXPECT_EQ(std::string(middle, 6), "middle");
}

TEST_F(OutputFoldersTest, WhatWasWrittenAtTheEndIsTakenAndStaysWhereItIs) {
  write("work/outputs/a", "x");
  write("work/logs/b.log", "y");
  write("work/outputs/part.tmp", "what is left in the end is the run's");
  const auto ends = folders().finish(kAlways);
  EXPECT_EQ(paths_stored(), (Paths{"logs/b.log", "outputs/a", "outputs/part.tmp"}));
  EXPECT_TRUE(fs::exists(work() / "outputs/a"));
  EXPECT_EQ(ends.at(0).sum.files, 2U);
  EXPECT_EQ(ends.at(0).sum.bytes, 37U);
}

TEST_F(OutputFoldersTest, TemporaryFilesAreNotStoredWhileRanksRun) {
  write("work/outputs/part.tmp", "x");
  write("work/outputs/a", "x");
  ASSERT_TRUE(look_until([&] { return fs::exists(stored("outputs/a")); }));
  EXPECT_EQ(paths_stored(), Paths{"outputs/a"});
}

TEST_F(OutputFoldersTest, OutOfACopyFilesAreMovedAndWhatIsStoredIsNotCopiedTwice) {
  for (OutputFolder& folder : options_.folders) folder.may_move = true;
  write("work/outputs/early", "early");
  ASSERT_TRUE(look_until([&] { return fs::exists(stored("outputs/early")); }));
  struct stat early {};
  ASSERT_EQ(::stat(stored("outputs/early").c_str(), &early), 0);
  write("work/outputs/late", "late", 0640);
  fs::create_directories(work() / "outputs/empty");
  struct stat late {};
  ASSERT_EQ(::stat((work() / "outputs/late").c_str(), &late), 0);
  const auto ends = folders().finish(kAlways);
  EXPECT_EQ(ends.at(0).problem_count, 0U);
  EXPECT_EQ(ends.at(0).sum.files, 2U);
  struct stat now {};
  ASSERT_EQ(::stat(stored("outputs/late").c_str(), &now), 0);
  EXPECT_EQ(now.st_ino, late.st_ino) << "moved";
  ASSERT_EQ(::stat(stored("outputs/early").c_str(), &now), 0);
  EXPECT_EQ(now.st_ino, early.st_ino) << "not stored again";
  EXPECT_TRUE(fs::is_directory(stored("outputs/empty")));
  EXPECT_EQ(states().at("outputs/late").stored->xxh3, store::digest_of("late"));
}

// Sparse, so that it costs the test nothing; the digest counts the zeros of a hole.
TEST_F(OutputFoldersTest, LargeFilesAreMovedFirstAndGetTheirDigestsWhenAllAreThere) {
  for (OutputFolder& folder : options_.folders) folder.may_move = true;
  const std::uint64_t size = (std::uint64_t{64} << 20) + 5;
  write("work/outputs/large", "begin");
  ASSERT_EQ(::truncate((work() / "outputs/large").c_str(), static_cast<off_t>(size)), 0);
  fs::create_hard_link(work() / "outputs/large", work() / "outputs/second");
  write("work/outputs/z-small", "12345");
  EXPECT_EQ(folders().finish(kAlways).at(0).problem_count, 0U);
  EXPECT_EQ(states().count("outputs/large"), 0U) << "a record is complete, or there is none";
  EXPECT_TRUE(fs::exists(stored("outputs/large")));
  EXPECT_TRUE(states().at("outputs/z-small").stored);
  std::uint64_t last = 0;
  std::uint64_t whole = 0;
  EXPECT_EQ(folders().hash_moved(kAlways,
                                 [&](std::uint64_t done, std::uint64_t all) {
                                   EXPECT_GE(done, last);
                                   last = done;
                                   whole = all;
                                 }),
            0U);
  EXPECT_EQ(whole, size);
  EXPECT_EQ(states().at("outputs/large").stored->xxh3,
            store::digest_of("begin" + std::string(size - 5, '\0')));
  EXPECT_EQ(states().at("outputs/second").stored->xxh3, states().at("outputs/large").stored->xxh3);
}

TEST_F(OutputFoldersTest, WithoutTimeForADigestALargeFileIsStoredAllTheSame) {
  for (OutputFolder& folder : options_.folders) folder.may_move = true;
  write("work/outputs/large", "begin");
  ASSERT_EQ(::truncate((work() / "outputs/large").c_str(), 100 << 20), 0);
  folders().finish(kAlways);
  const KeepOn never = [] { return fail(ErrorCode::kStopped, "be quick"); };
  EXPECT_EQ(folders().hash_moved(never), 1U);
  const auto entry = *states().at("outputs/large").stored;
  EXPECT_EQ(entry.xxh3, "");
  EXPECT_EQ(entry.size, 100U << 20);
}

TEST_F(OutputFoldersTest, OutOfAFolderThatALinkLedToNothingIsTakenAway) {
  write("elsewhere/model.bin", "12345");
  fs::remove(work() / "outputs");
  fs::create_directory_symlink(scratch() / "elsewhere", work() / "outputs");
  for (OutputFolder& folder : options_.folders) folder.may_move = true;
  folders().finish(kAlways);
  EXPECT_EQ(read(stored("outputs/model.bin")), "12345");
  EXPECT_EQ(read(scratch() / "elsewhere/model.bin"), "12345");
}

TEST_F(OutputFoldersTest, FilesOfRanksThatWriteToTheRunDirectoryAreNoted) {
  options_.folders.push_back({{"outputs/model", run_.root() / "outputs/model"}, true, false});
  write("run/outputs/model/weights", "12345");
  write("work/outputs/model/notes", "from the working directory");
  ASSERT_TRUE(look_until([&] {
    const auto now = states();
    return now.contains("outputs/model/weights") && now.contains("outputs/model/notes");
  }));
  const auto lines = read(run_.files_jsonl());
  EXPECT_EQ(states().at("outputs/model/weights").stored->xxh3, store::digest_of("12345"));
  for (int i = 0; i < 20; ++i) {
    folders().step(kAlways);
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_EQ(read(run_.files_jsonl()), lines) << "nothing is stored again";
}

TEST_F(OutputFoldersTest, TheQuotaKeepsWhatIsBeyondItWhereItIs) {
  options_.publisher.max_bytes = 10;
  write("work/outputs/a", "12345678");
  write("work/outputs/b", "123456789");
  const auto ends = folders().finish(kAlways);
  EXPECT_EQ(paths_stored(), Paths{"outputs/a"});
  EXPECT_EQ(ends.at(0).problem_count, 1U);
  EXPECT_NE(ends.at(0).problems.at(0).message.find("results.max_size"), std::string::npos);
  EXPECT_TRUE(fs::exists(work() / "outputs/b"));
}

TEST_F(OutputFoldersTest, AnEndThatIsDueStopsAndSaysWhatIsMissing) {
  write("work/outputs/a", "x");
  write("work/outputs/b", "x");
  int asked = 0;
  const auto ends = folders().finish([&asked]() -> Result<> {
    if (++asked > 3) return fail(ErrorCode::kStopped, "the stop_budget is used up");
    return {};
  });
  EXPECT_GE(ends.at(0).problem_count, 1U);
  EXPECT_NE(ends.at(0).problems.at(0).message.find("the stop_budget is used up"),
            std::string::npos);
  EXPECT_TRUE(fs::is_empty(run_.incoming()));
}

TEST_F(OutputFoldersTest, WithoutInotifyScansFindEverything) {
  options_.use_inotify = false;
  for (int i = 0; i < 100; ++i)
    write("work/outputs/d" + std::to_string(i % 7) + "/" + std::to_string(i), "x");
  ASSERT_TRUE(look_until([&] { return paths_stored().size() == 100; }));
  EXPECT_EQ(folders().hint_fd(), -1);
}

TEST_F(OutputFoldersTest, AnOverflowOfHintsLosesNoFile) {
  const std::string limit = read("/proc/sys/fs/inotify/max_queued_events");
  if (limit.empty() || std::stoi(limit) > 20'000) GTEST_SKIP() << "the queue holds " << limit;
  folders().step(kAlways);  // watches the folder
  if (folders().hint_fd() < 0) GTEST_SKIP() << "no inotify here";
  // Created, closed and removed: no two events in a row are alike, and then the queue is full.
  for (int i = 0; i < std::stoi(limit) / 3 + 100; ++i)
    write("work/outputs/gone", "x"), fs::remove(work() / "outputs/gone");
  for (int i = 0; i < 20; ++i) write("work/outputs/deep/" + std::to_string(i), "x");
  ASSERT_TRUE(look_until([&] { return paths_stored().size() == 20; }));
}

// A program that rewrites files in every way, each state with its number and a checksum in it:
// whatever is seen in the run directory is one of those states, whole.
TEST_F(OutputFoldersTest, NothingTornIsEverStored) {
  const auto state_of = [](unsigned version) {
    std::mt19937 random(version);
    std::string body(4096 + random() % 200'000, '\0');
    for (char& byte : body) byte = static_cast<char>('a' + random() % 26);
    return std::to_string(version) + " " + store::digest_of(body) + " " + body;
  };
  const auto is_whole = [](const std::string& text) {
    const std::size_t first = text.find(' ');
    const std::size_t second = text.find(' ', first + 1);
    return first != std::string::npos && second != std::string::npos &&
           store::digest_of(std::string_view(text).substr(second + 1)) ==
               text.substr(first + 1, second - first - 1);
  };
  options_.tracker.settle = 1500ms;  // more than the machine keeps a writer from its core
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (unsigned version = 1; !done; ++version) {
      const std::string text = state_of(version);
      const fs::path path = work() / "outputs" / ("ckpt-" + std::to_string(version % 3));
      if (version % 2 == 0) {
        std::ofstream(work() / "outputs/new.tmp") << text;
        fs::rename(work() / "outputs/new.tmp", path);
      } else {
        // In pieces, over what is there.
        const Fd file(::open(
            path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (version % 5 == 0 ? O_TRUNC : 0), 0644));
        for (std::size_t at = 0; at < text.size(); at += 16384) {
          const auto piece = std::string_view(text).substr(at, 16384);
          ASSERT_EQ(::pwrite(file.get(), piece.data(), piece.size(), static_cast<off_t>(at)),
                    static_cast<ssize_t>(piece.size()));
        }
        ASSERT_EQ(::ftruncate(file.get(), static_cast<off_t>(text.size())), 0);
      }
      if (version % 4 == 0) std::this_thread::sleep_for(400ms);
    }
  });
  int seen = 0;
  std::string torn;
  const auto until = std::chrono::steady_clock::now() + 4s;
  while (std::chrono::steady_clock::now() < until && torn.empty()) {
    folders().step(kAlways);
    for (const std::string& path : paths_stored()) {
      const std::string text = read(stored(path));
      ++seen;
      if (!is_whole(text)) torn = path + ": " + text.substr(0, 60);
    }
    std::this_thread::sleep_for(5ms);
  }
  done = true;
  writer.join();
  EXPECT_EQ(torn, "");
  EXPECT_GT(seen, 0);
  folders().finish(kAlways);
  for (const std::string& path : paths_stored()) {
    EXPECT_EQ(read(stored(path)), read(work() / path)) << path;
  }
}

TEST(ContainedTarget, KnowsWhatLeadsElsewhere) {
  const auto target = [](std::string_view path, std::string_view to) {
    return contained_target(path, to, "outputs", "/w/outputs");
  };
  EXPECT_EQ(target("outputs/a", "b"), "b");
  EXPECT_EQ(target("outputs/deep/a", "../b"), "../b");
  EXPECT_EQ(target("outputs/deep/a", "../../logs/b"), "../../logs/b");
  EXPECT_EQ(target("outputs/deep/a", "/w/outputs/b"), "../b");
  EXPECT_EQ(target("outputs/a", ".."), std::nullopt);
  EXPECT_EQ(target("outputs/a", "../ranks/x"), std::nullopt);
  EXPECT_EQ(target("outputs/a", "../../outputs/b"), std::nullopt);
  EXPECT_EQ(target("outputs/a", "/w/outputs2/b"), std::nullopt);
  EXPECT_EQ(target("outputs/a", "/w/outputs/../x"), std::nullopt);
  EXPECT_EQ(target("outputs/a", ""), std::nullopt);
}

}  // namespace
}  // namespace muster::outputs
