#include "collector/store/verify.h"

#include "collector/store/digest.h"
#include "collector/store/file_manifest.h"
#include "collector/store/stream_ends.h"
#include "collector/store/stream_ledger.h"
#include "tests/support/scratch.h"

namespace muster::store {
namespace {

namespace fs = std::filesystem;

const std::string kStdout = "ranks/00000/attempt-0/stdout.log";

class VerifyTest : public test::ScratchTest {
 protected:
  void SetUp() override {
    ScratchTest::SetUp();
    ASSERT_TRUE(RunDirectory::create(scratch(), "run", 1));
  }

  RunDirectory run() const { return RunDirectory(scratch() / "run"); }
  StreamLedger ledger() const { return StreamLedger(run().streams_jsonl()); }

  void store(const std::string& path, const std::string& bytes) { write("run/" + path, bytes); }
  void end(const LedgerEnd& end) {
    StreamLedger all = ledger();
    all.end(kStdout, end);
    ASSERT_TRUE(all.flush());
  }
  StoreCheck check() {
    auto checked = verify(run());
    EXPECT_TRUE(checked);
    return checked ? *checked : StoreCheck();
  }
  // What is wrong, or how the one stream is.
  std::string said() {
    const StoreCheck all = check();
    if (!all.problems().empty()) return all.problems().front();
    return all.streams.empty() ? "none" : to_text(all.streams.front().state);
  }
};

TEST_F(VerifyTest, BytesAreThoseThatWereWritten) {
  EXPECT_EQ(said(), "none");
  store(kStdout, "hello");
  EXPECT_EQ(said(), "ends_unknown");
  end({5, 5, digest_of("hello")});
  EXPECT_EQ(said(), "ok");
  EXPECT_EQ(check().bytes_read, 5U);
  store(kStdout, "hellO");
  EXPECT_EQ(said(), kStdout + ": its bytes are not those that were written");
  store(kStdout, "hell");
  EXPECT_EQ(said(), kStdout + ": its file has 4 bytes, and its end is at 5");
  fs::remove(run().root() / kStdout);
  EXPECT_EQ(said(), kStdout + ": its file is gone");
}

TEST_F(VerifyTest, StoredAndMissingMakeUpTheLength) {
  store(kStdout, "ab" + std::string(3, '\0') + "cd");
  ledger().gap(kStdout, {2, 5, "disk_full"});
  end({7, 4, digest_of("abcd")});
  const StoreCheck all = check();
  ASSERT_EQ(all.streams.size(), 1U);
  EXPECT_EQ(all.streams[0].state, CheckState::kOk) << all.streams[0].problem;
  EXPECT_EQ(all.streams[0].stored, 4U);
  EXPECT_EQ(all.streams[0].missing, 3U);
  end({7, 5, digest_of("abcd")});
  EXPECT_EQ(said(), kStdout + ": 5 stored and 3 missing bytes are not its length, 7");
}

TEST_F(VerifyTest, AGapAtTheEndNeedsNoHole) {
  store(kStdout, "ab");
  ledger().gap(kStdout, {2, 9, "disk_full"});
  end({9, 2, digest_of("ab")});
  EXPECT_EQ(said(), "ok");
}

TEST_F(VerifyTest, GapsDoNotOverlap) {
  store(kStdout, std::string(9, '\0'));
  ledger().gap(kStdout, {2, 6, "disk_full"});
  ledger().gap(kStdout, {5, 8, "overflow"});
  end({9, 3, ""});
  EXPECT_EQ(said(), kStdout + ": two gaps overlap at 5");
}

TEST_F(VerifyTest, ABeginningOfUnknownLengthIsSaid) {
  store(kStdout, "ab");
  ledger().gap(kStdout, {2, std::nullopt, gap_reason::kCut});
  end({2, 2, digest_of("ab")});
  const StoreCheck all = check();
  EXPECT_TRUE(all.problems().empty());
  EXPECT_TRUE(all.streams.at(0).missing_more);
}

TEST_F(VerifyTest, WhatWasFreedIsAtTheCollector) {
  store(kStdout, std::string(5, '\0'));
  ledger().freed(kStdout, {5, "tcp:host:1"});
  end({5, 5, digest_of("hello")});
  const StoreCheck all = check();
  EXPECT_TRUE(all.problems().empty());
  EXPECT_EQ(all.streams.at(0).freed, 5U);
}

TEST_F(VerifyTest, AGrowingRunHasNoEnds) {
  const Fd lock = run().lock();
  store(kStdout, "hello");
  EXPECT_EQ(said(), "growing");
}

TEST_F(VerifyTest, StreamsWithoutACountingWriterEndWhereTheirFilesDo) {
  store("events.jsonl", "{}\n");
  store("launcher/host.log", "log");
  store("launcher/other.log", "");
  EXPECT_EQ(said(), "ends_unknown");
  ASSERT_TRUE(end_streams(run(), common_streams(run())));
  StoreCheck all = check();
  ASSERT_EQ(all.streams.size(), 3U);
  for (const StreamCheck& stream : all.streams) {
    EXPECT_EQ(stream.state, CheckState::kOk) << stream.path << stream.problem;
  }
  EXPECT_EQ(all.bytes_read, 6U);
  store("launcher/host.log", "lag");
  EXPECT_EQ(said(), "launcher/host.log: its bytes are not those that were written");
  store("launcher/late.log", "by others");
  EXPECT_EQ(check().streams.at(2).state, CheckState::kUnrecorded);
}

TEST_F(VerifyTest, FilesAreWhatTheManifestSays) {
  FileManifest manifest(run().files_jsonl());
  FileEntry entry;
  entry.path = "outputs/m";
  entry.size = 5;
  entry.xxh3 = digest_of("hello");
  manifest.stored(entry);
  store("outputs/m", "hello");
  store("outputs/other", "unknown to it");
  StoreCheck all = check();
  ASSERT_EQ(all.files.size(), 2U);
  EXPECT_EQ(all.files[0].state, CheckState::kOk);
  EXPECT_EQ(all.files[1].state, CheckState::kUnrecorded);
  store("outputs/m", "hellO");
  EXPECT_EQ(said(), "outputs/m: its bytes are not those that it had");
  fs::remove(run().root() / "outputs/m");
  EXPECT_EQ(said(), "outputs/m: its file is gone");
  fs::create_symlink("/etc/passwd", run().root() / "outputs/m");
  EXPECT_EQ(said(), "outputs/m: it is no regular file") << "no link is followed";
}

}  // namespace
}  // namespace muster::store
