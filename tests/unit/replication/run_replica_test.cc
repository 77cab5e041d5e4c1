#include "collector/replication/run_replica.h"

#include <cerrno>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "collector/store/digest.h"
#include "collector/store/verify.h"
#include "tests/support/forked.h"
#include "tests/support/scratch.h"

namespace muster::replication {
namespace {

namespace fs = std::filesystem;
using store::StreamKind;

const std::string kStdout = "ranks/00000/attempt-0/stdout.log";

store::Writer writer(const std::string& name = "node-0", int rank = 0, std::uint64_t epoch = 1) {
  return {"run-1", name, "host", rank, epoch};
}

StreamDescription stream(const std::string& path = kStdout) {
  StreamDescription description;
  description.path = path;
  description.kind = *store::kind_of(path);
  return description;
}

StreamDescription file(const std::string& path, std::uint64_t generation, std::size_t size,
                       int rank = 0) {
  StreamDescription description = stream(path);
  description.whole = true;
  description.generation = generation;
  description.mtime_ns = 1'700'000'000'000'000'000 + static_cast<std::int64_t>(generation);
  description.size_hint = size;
  description.owner_rank = rank;
  return description;
}

class RunReplicaTest : public test::ScratchTest {
 protected:
  void SetUp() override {
    ScratchTest::SetUp();
    start();
  }

  void start(RunReplicaOptions options = {}) {
    replica_.reset();
    auto opened = RunReplica::open(scratch() / "store", std::move(options));
    ASSERT_TRUE(opened) << opened.error().message;
    replica_ = std::move(*opened);
    ASSERT_TRUE(replica_->admit(writer()));
  }

  OpenedStream open(const StreamDescription& description, const store::Writer& by = writer()) {
    auto opened = replica_->open(by, description);
    EXPECT_TRUE(opened) << opened.error().message;
    return opened ? *opened : OpenedStream();
  }

  Result<std::vector<DurableMark>> sync() {
    std::optional<Result<std::vector<DurableMark>>> said;
    replica_->sync([&](Result<std::vector<DurableMark>> marks) { said = std::move(marks); });
    replica_->settle();
    EXPECT_TRUE(said);
    return said ? *said : fail(ErrorCode::kInternal, "sync() said nothing");
  }

  // A whole file, as one writer stores it.
  Result<> put(const StreamDescription& description, const std::string& bytes,
               const store::Writer& by = writer()) {
    MUSTER_TRY_ASSIGN(const OpenedStream opened, replica_->open(by, description));
    if (opened.complete) return {};
    MUSTER_TRY(replica_->append(opened.handle, 0, bytes));
    MUSTER_TRY(replica_->finish(opened.handle, {bytes.size(), store::digest_of(bytes), true}));
    auto marks = sync();
    if (!marks) return Failure(marks.error());
    replica_->close(opened.handle);
    return {};
  }

  fs::path run() const { return scratch() / "store" / "run-1"; }
  store::RunDirectory directory() const { return store::RunDirectory(run()); }
  store::FileStates files() const { return *store::read_manifest(directory().files_jsonl()); }

  std::unique_ptr<RunReplica> replica_;
};

TEST_F(RunReplicaTest, BytesAreStoredAndThenDurable) {
  const OpenedStream opened = open(stream());
  EXPECT_EQ(opened.next, 0U);
  ASSERT_TRUE(replica_->append(opened.handle, 0, "hello "));
  ASSERT_TRUE(replica_->append(opened.handle, 6, "world"));
  EXPECT_EQ(read(run() / kStdout), "hello world") << "readers need not wait for the disk";
  EXPECT_FALSE(replica_->append(opened.handle, 3, "x")) << "only what comes next";
  auto marks = sync();
  ASSERT_TRUE(marks);
  ASSERT_EQ(marks->size(), 1U);
  EXPECT_EQ(marks->front().offset, 11U);
  EXPECT_FALSE(marks->front().complete);
  ASSERT_TRUE(replica_->finish(opened.handle, {11, store::digest_of("hello world"), true}));
  marks = sync();
  ASSERT_TRUE(marks);
  ASSERT_EQ(marks->size(), 1U);
  EXPECT_TRUE(marks->front().complete);
  EXPECT_TRUE(sync()->empty()) << "said once";
  const auto records = store::read_ledger(directory().streams_jsonl());
  EXPECT_EQ(records->at(kStdout).end, (store::LedgerEnd{11, 11, store::digest_of("hello world")}));
}

TEST_F(RunReplicaTest, GoesOnWhereARestartFindsIt) {
  OpenedStream opened = open(stream());
  ASSERT_TRUE(replica_->append(opened.handle, 0, "one"));
  ASSERT_TRUE(sync());
  ASSERT_TRUE(replica_->append(opened.handle, 3, "two"));
  start();
  opened = open(stream());
  EXPECT_EQ(opened.next, 6U) << "the same machine: what was written is there";
  EXPECT_EQ(opened.durable, 3U);
  ASSERT_TRUE(replica_->append(opened.handle, 6, "3"));
  // Its beginning was not seen by this process.
  ASSERT_TRUE(replica_->finish(opened.handle, {7, store::digest_of("onetwo3"), true}));
  ASSERT_TRUE(sync());
  start();
  EXPECT_TRUE(open(stream()).complete);
}

TEST_F(RunReplicaTest, AfterARebootOnlyTheDurableCounts) {
  OpenedStream opened = open(stream());
  ASSERT_TRUE(replica_->append(opened.handle, 0, "sure"));
  ASSERT_TRUE(sync());
  ASSERT_TRUE(replica_->append(opened.handle, 4, "perhaps"));
  ASSERT_TRUE(replica_->add_gap(opened.handle, {11, 20, "overflow"}));
  const OpenedStream whole = open(file("outputs/m", 1, 10));
  ASSERT_TRUE(replica_->append(whole.handle, 0, "part"));
  replica_.reset();
  auto state = store::read_durable_state(directory());
  ASSERT_TRUE(state);
  state->boot_id = "another";
  ASSERT_TRUE(store::write_durable_state(directory(), *state));
  start();
  opened = open(stream());
  EXPECT_EQ(opened.next, 4U);
  EXPECT_EQ(opened.durable, 4U);
  EXPECT_EQ(read(run() / kStdout), "sure");
  EXPECT_EQ(open(file("outputs/m", 1, 10)).next, 0U);
  const auto records = store::read_ledger(directory().streams_jsonl());
  EXPECT_TRUE(records->at(kStdout).gaps.empty());
}

TEST_F(RunReplicaTest, GapsAreHolesThatAreWrittenDown) {
  const OpenedStream opened = open(stream());
  ASSERT_TRUE(replica_->append(opened.handle, 0, "ab"));
  ASSERT_TRUE(replica_->add_gap(opened.handle, {2, 10, "overflow"}));
  EXPECT_FALSE(replica_->add_gap(opened.handle, {5, 12, "overflow"}));
  ASSERT_TRUE(replica_->append(opened.handle, 10, "cd"));
  ASSERT_TRUE(replica_->finish(opened.handle, {12, "", true}));
  EXPECT_EQ(read(run() / kStdout), "ab" + std::string(8, '\0') + "cd");
  const auto records = store::read_ledger(directory().streams_jsonl());
  EXPECT_EQ(records->at(kStdout).end, (store::LedgerEnd{12, 4, store::digest_of("abcd")}));
}

TEST_F(RunReplicaTest, OtherBytesAreAskedForAgain) {
  OpenedStream opened = open(stream());
  ASSERT_TRUE(replica_->append(opened.handle, 0, "wrong"));
  ASSERT_TRUE(sync());
  const auto finished = replica_->finish(opened.handle, {5, store::digest_of("right"), true});
  ASSERT_FALSE(finished);
  EXPECT_EQ(finished.error().code, ErrorCode::kData);
  opened = open(stream());
  EXPECT_EQ(opened.next, 0U);
  EXPECT_EQ(opened.durable, 0U);
  ASSERT_TRUE(replica_->append(opened.handle, 0, "right"));
  EXPECT_TRUE(replica_->finish(opened.handle, {5, store::digest_of("right"), true}));
}

TEST_F(RunReplicaTest, AnOlderStartOfAWriterIsRefused) {
  ASSERT_TRUE(replica_->admit(writer("node-0", 0, 7)));
  const auto admitted = replica_->admit(writer("node-0", 0, 6));
  ASSERT_FALSE(admitted);
  EXPECT_EQ(admitted.error().code, ErrorCode::kPermission);
  EXPECT_NE(admitted.error().message.find("superseded"), std::string::npos);
  EXPECT_TRUE(replica_->admit(writer("node-1", 4, 1))) << "another writer";
  replica_.reset();
  auto again = RunReplica::open(scratch() / "store");
  ASSERT_TRUE(again);
  EXPECT_FALSE((*again)->admit(writer("node-0", 0, 6))) << "also after a restart";
  EXPECT_TRUE((*again)->admit(writer("node-0", 0, 7)));
}

TEST_F(RunReplicaTest, AStreamIsOneWriters) {
  open(stream());
  const auto other = replica_->open(writer("node-1", 4), stream());
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kPermission);
}

TEST_F(RunReplicaTest, NamesThatAreNoStreamsAreRefused) {
  StreamDescription bad = stream();
  for (const char* path : {"../x", "/etc/passwd", "outputs/../../x", ".muster/receiver.json",
                           "metrics.db", "ranks/../run.json", ""}) {
    bad.path = path;
    const auto opened = replica_->open(writer(), bad);
    ASSERT_FALSE(opened) << path;
    EXPECT_EQ(opened.error().code, ErrorCode::kPermission) << opened.error().message;
  }
  for (const char* id : {"../other", "", ".hidden", "a/b"}) {
    store::Writer other = writer();
    other.run_id = id;
    EXPECT_FALSE(replica_->admit(other)) << id;
  }
}

TEST_F(RunReplicaTest, ALaunchersOwnDirectoryIsNoCopy) {
  const fs::path own = scratch() / "store" / "run-2";
  fs::create_directories(own / ".muster");
  store::Writer other = writer();
  other.run_id = "run-2";
  ASSERT_TRUE(store::write_writer(store::RunDirectory(own), other));
  EXPECT_FALSE(replica_->admit(other));
}

TEST_F(RunReplicaTest, AFileAppearsWhenItIsWholeAndOnTheDisk) {
  const std::string bytes = "weights";
  const OpenedStream opened = open(file("outputs/a/model.pt", 1, bytes.size()));
  ASSERT_TRUE(replica_->append(opened.handle, 0, bytes));
  ASSERT_TRUE(replica_->finish(opened.handle, {bytes.size(), store::digest_of(bytes), true}));
  EXPECT_FALSE(fs::exists(run() / "outputs/a/model.pt"));
  const auto marks = sync();
  ASSERT_TRUE(marks);
  ASSERT_EQ(marks->size(), 1U);
  EXPECT_TRUE(marks->front().complete);
  EXPECT_EQ(read(run() / "outputs/a/model.pt"), bytes);
  EXPECT_TRUE(fs::is_empty(run() / ".muster/incoming"));
  const store::FileEntry entry = *files().at("outputs/a/model.pt").stored;
  EXPECT_EQ(entry.xxh3, store::digest_of(bytes));
  EXPECT_EQ(entry.writer, "node-0");
  start();
  EXPECT_TRUE(open(file("outputs/a/model.pt", 1, bytes.size())).complete) << "it is here already";
}

TEST_F(RunReplicaTest, ALargeFileIsResumed) {
  const StreamDescription description = file("outputs/model.pt", 3, 8);
  ASSERT_TRUE(replica_->append(open(description).handle, 0, "half"));
  start();
  const OpenedStream again = open(description);
  EXPECT_EQ(again.next, 4U);
  ASSERT_TRUE(replica_->append(again.handle, 4, "full"));
  ASSERT_TRUE(replica_->finish(again.handle, {8, store::digest_of("halffull"), true}));
  ASSERT_TRUE(sync());
  EXPECT_EQ(read(run() / "outputs/model.pt"), "halffull");
}

TEST_F(RunReplicaTest, AnotherContentDoesNotGoOnWithTheOldOne) {
  ASSERT_TRUE(replica_->append(open(file("outputs/m", 1, 8)).handle, 0, "half"));
  start();
  EXPECT_EQ(open(file("outputs/m", 2, 8)).next, 0U);
  int incoming = 0;
  for ([[maybe_unused]] const auto& entry : fs::directory_iterator(run() / ".muster/incoming")) {
    ++incoming;
  }
  EXPECT_EQ(incoming, 1) << "the first one is gone";
}

TEST_F(RunReplicaTest, AReplacedFileIsReplacedByRename) {
  ASSERT_TRUE(put(file("outputs/m", 1, 3), "one"));
  std::ifstream old(run() / "outputs/m");
  ASSERT_TRUE(put(file("outputs/m", 2, 3), "two"));
  EXPECT_EQ(read(run() / "outputs/m"), "two");
  EXPECT_EQ(std::string(std::istreambuf_iterator<char>(old), {}), "one");
}

TEST_F(RunReplicaTest, TheLowestRankKeepsANameInAnyOrder) {
  const auto high = [&] { return put(file("outputs/m", 1, 4, 4), "four", writer("node-1", 4)); };
  const auto low = [&] { return put(file("outputs/m", 1, 4, 0), "zero"); };
  ASSERT_TRUE(replica_->admit(writer("node-1", 4)));
  for (const bool low_first : {true, false}) {
    ASSERT_TRUE(low_first ? low() : high());
    ASSERT_TRUE(low_first ? high() : low());
    EXPECT_EQ(read(run() / "outputs/m"), "zero");
    EXPECT_EQ(read(run() / "outputs/m.rank-4"), "four");
    const store::FileStates states = files();
    EXPECT_EQ(states.at("outputs/m").stored->writer, "node-0");
    EXPECT_EQ(states.at("outputs/m.rank-4").stored->writer, "node-1");
    EXPECT_EQ(states.at("outputs/m").conflicts,
              (std::vector<store::FileState::Conflict>{{"outputs/m.rank-4", 0}}));
    // Later generations go where the first went, also after a restart.
    start();
    ASSERT_TRUE(replica_->admit(writer("node-1", 4)));
    ASSERT_TRUE(put(file("outputs/m", 2, 4, 4), "FOUR", writer("node-1", 4)));
    EXPECT_EQ(read(run() / "outputs/m.rank-4"), "FOUR");
    EXPECT_EQ(read(run() / "outputs/m"), "zero");
    replica_.reset();
    ASSERT_TRUE(remove_tree(run()));
    start();
    ASSERT_TRUE(replica_->admit(writer("node-1", 4)));
  }
}

// Its name, and the one that it would get, are taken: the others of that sync become durable.
TEST_F(RunReplicaTest, AFileWithoutANameIsRefusedAlone) {
  ASSERT_TRUE(replica_->admit(writer("node-1", 4)));
  const std::string long_name = "outputs/" + std::string(254, 'n');
  ASSERT_TRUE(put(file(long_name, 1, 4, 0), "zero"));
  const OpenedStream out = open(stream());
  ASSERT_TRUE(replica_->append(out.handle, 0, "hello"));
  const auto other = replica_->open(writer("node-1", 4), file(long_name, 1, 4, 4));
  ASSERT_TRUE(other);
  ASSERT_TRUE(replica_->append(other->handle, 0, "four"));
  ASSERT_TRUE(replica_->finish(other->handle, {4, store::digest_of("four"), true}));
  const auto marks = sync();
  ASSERT_TRUE(marks) << marks.error().message;
  ASSERT_EQ(marks->size(), 2U);
  for (const DurableMark& mark : *marks) {
    EXPECT_EQ(mark.refused.empty(), mark.handle == out.handle) << mark.refused;
    EXPECT_EQ(mark.offset, mark.handle == out.handle ? 5U : 0U);
  }
  EXPECT_EQ(read(run() / long_name), "zero");
  EXPECT_TRUE(fs::is_empty(run() / ".muster/incoming"));
  replica_->close(other->handle);
  const auto again = replica_->open(writer("node-1", 4), file(long_name, 2, 4, 4));
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, ErrorCode::kPermission);
}

TEST_F(RunReplicaTest, TheSameBytesAreOneCopy) {
  ASSERT_TRUE(put(file("outputs/m", 1, 4, 4), "same", writer("node-1", 4)));
  ASSERT_TRUE(put(file("outputs/m", 1, 4, 0), "same"));
  EXPECT_FALSE(fs::exists(run() / "outputs/m.rank-4"));
  EXPECT_EQ(files().at("outputs/m").stored->writer, "node-0");
}

TEST_F(RunReplicaTest, AGrowingFileKeepsItsInode) {
  StreamDescription description = file("logs/events.tfevents", 1, 0);
  description.whole = false;
  OpenedStream opened = open(description);
  ASSERT_TRUE(replica_->append(opened.handle, 0, "one"));
  struct stat before {};
  ASSERT_EQ(::stat((run() / "logs/events.tfevents").c_str(), &before), 0);
  ASSERT_TRUE(sync());
  start();
  opened = open(description);
  EXPECT_EQ(opened.next, 3U);
  EXPECT_EQ(opened.durable, 3U);
  ASSERT_TRUE(replica_->append(opened.handle, 3, "two"));
  struct stat after {};
  ASSERT_EQ(::stat((run() / "logs/events.tfevents").c_str(), &after), 0);
  EXPECT_EQ(before.st_ino, after.st_ino);
  ASSERT_TRUE(replica_->finish(opened.handle, {6, store::digest_of("onetwo"), true}));
  EXPECT_EQ(files().at("logs/events.tfevents").stored->size, 6U);
}

TEST_F(RunReplicaTest, LinksStayInside) {
  StreamDescription inside = file("outputs/latest", 1, 0);
  inside.link_target = "a/model.pt";
  StreamDescription outside = file("outputs/bad", 1, 0);
  outside.link_target = "../../../etc/passwd";
  ASSERT_TRUE(put(inside, ""));
  ASSERT_TRUE(put(outside, ""));
  EXPECT_EQ(fs::read_symlink(run() / "outputs/latest"), "a/model.pt");
  EXPECT_FALSE(fs::is_symlink(run() / "outputs/bad"));
  EXPECT_EQ(files().at("outputs/bad").stored->target, "../../../etc/passwd");
  // Nothing is written through a link, whoever made it.
  fs::create_directories(scratch() / "elsewhere");
  fs::create_directory_symlink(scratch() / "elsewhere", run() / "outputs/way");
  EXPECT_FALSE(put(file("outputs/way/x", 1, 1), "x"));
  EXPECT_TRUE(fs::is_empty(scratch() / "elsewhere"));
}

// As a writer tells it: what is gone, and then what has its name.
TEST_F(RunReplicaTest, ANameMayBecomeAnotherKindOfThing) {
  enum Kind { kFile, kFolder, kLink };
  std::uint64_t generation = 0;
  const auto stored_as = [](Kind kind, const std::string& path) {
    return kind == kFolder ? path + "/deep/in" : path;
  };
  const auto make = [&](Kind kind, const std::string& path) -> Result<> {
    const std::string at = stored_as(kind, path);
    if (kind != kLink) return put(file(at, ++generation, 4), "some");
    StreamDescription link = file(at, ++generation, 0);
    link.link_target = "there";
    return put(link, "");
  };
  const auto is_so = [&](Kind kind, const std::string& path) {
    if (kind != kLink) return read(run() / stored_as(kind, path)) == "some";
    return fs::is_symlink(run() / path);
  };
  for (const Kind from : {kFile, kFolder, kLink}) {
    for (const Kind to : {kFile, kFolder, kLink}) {
      if (from == to) continue;
      const std::string path = "outputs/" + std::to_string(from) + "-" + std::to_string(to);
      SCOPED_TRACE(path);
      ASSERT_TRUE(make(from, path));
      if (from == kFolder || to == kFolder) {
        const auto early = make(to, path);
        ASSERT_FALSE(early) << "nobody said that the other one is gone";
        EXPECT_EQ(early.error().code, ErrorCode::kPermission);
        EXPECT_TRUE(is_so(from, path));
        start();  // it is not taken again until then
      }
      ASSERT_TRUE(replica_->tombstone(writer(), stored_as(from, path)));
      auto made = make(to, path);
      ASSERT_TRUE(made) << made.error().message;
      EXPECT_TRUE(is_so(to, path));
      ASSERT_TRUE(replica_->tombstone(writer(), stored_as(to, path)));
      start();
      made = make(from, path);
      ASSERT_TRUE(made) << made.error().message;
      EXPECT_TRUE(is_so(from, path));
      EXPECT_EQ(files().at(stored_as(to, path)).copy_gone, from == kFolder || to == kFolder);
    }
  }
  // One that grows, too, and what another writer has stays.
  StreamDescription log = file("outputs/log", ++generation, 0);
  log.whole = false;
  const OpenedStream grows = open(log);
  ASSERT_TRUE(replica_->append(grows.handle, 0, "line"));
  ASSERT_TRUE(replica_->finish(grows.handle, {4, "", true}));
  ASSERT_TRUE(replica_->admit(writer("node-1", 4)));
  EXPECT_FALSE(put(file("outputs/log/in", 1, 4, 4), "some", writer("node-1", 4)));
  ASSERT_TRUE(replica_->tombstone(writer(), "outputs/log"));
  EXPECT_FALSE(put(file("outputs/log/too", 1, 4, 4), "some", writer("node-1", 4)));
  ASSERT_TRUE(make(kFolder, "outputs/log"));
  ASSERT_TRUE(replica_->tombstone(writer(), "outputs/log/deep/in"));
  log.generation = ++generation;
  EXPECT_EQ(open(log).next, 0U);
  EXPECT_TRUE(fs::is_regular_file(run() / "outputs/log"));
  ASSERT_TRUE(sync());
  replica_.reset();
  const auto checked = store::verify(directory());
  ASSERT_TRUE(checked);
  EXPECT_EQ(checked->problems(), std::vector<std::string>());
}

TEST_F(RunReplicaTest, ATombstoneKeepsTheCopy) {
  ASSERT_TRUE(put(file("outputs/m", 1, 3), "one"));
  ASSERT_TRUE(replica_->tombstone(writer(), "outputs/m"));
  EXPECT_TRUE(files().at("outputs/m").deleted);
  EXPECT_EQ(read(run() / "outputs/m"), "one");
}

TEST_F(RunReplicaTest, ControlFilesAreReplaced) {
  ASSERT_TRUE(put(file("run.json", 1, 2), "{}"));
  ASSERT_TRUE(put(file("run.json", 2, 3), "{1}"));
  EXPECT_EQ(read(run() / "run.json"), "{1}");
}

TEST_F(RunReplicaTest, AFailedSyncTakesBackWhatWasNotDurable) {
  bool broken = false;
  RunReplicaOptions options;
  options.sync_file = [&](int fd) {
    errno = EIO;
    return broken ? -1 : ::fdatasync(fd);
  };
  start(options);
  OpenedStream opened = open(stream());
  ASSERT_TRUE(replica_->append(opened.handle, 0, "sure"));
  ASSERT_TRUE(sync());
  ASSERT_TRUE(replica_->append(opened.handle, 4, "lost"));
  broken = true;
  EXPECT_FALSE(sync());
  broken = false;
  replica_->close(opened.handle);
  opened = open(stream());
  EXPECT_EQ(opened.next, 4U);
  ASSERT_TRUE(replica_->append(opened.handle, 4, "good"));
  ASSERT_TRUE(sync());
  EXPECT_EQ(read(run() / kStdout), "suregood");
}

TEST_F(RunReplicaTest, ThousandsOfStreamsShareDescriptors) {
  RunReplicaOptions options;
  options.limits.open_files = 4;
  start(options);
  std::vector<Handle> handles;
  for (int rank = 0; rank < 50; ++rank) {
    handles.push_back(
        open(stream(store::RunDirectory::attempt_directory(rank, 0) + "/stdout.log")).handle);
  }
  for (int round = 0; round < 3; ++round) {
    for (const Handle handle : handles) {
      ASSERT_TRUE(replica_->append(handle, static_cast<std::uint64_t>(round), "x"));
    }
    const auto marks = sync();
    ASSERT_TRUE(marks);
    EXPECT_EQ(marks->size(), handles.size());
  }
  std::size_t descriptors = 0;
  for (const auto& entry : fs::directory_iterator("/proc/self/fd")) {
    std::error_code ignored;
    if (fs::read_symlink(entry, ignored).filename() == "stdout.log") ++descriptors;
  }
  EXPECT_LE(descriptors, 5U);
}

TEST_F(RunReplicaTest, QuotasHold) {
  RunReplicaOptions options;
  options.limits.streams = 1;
  options.limits.bytes = 4096;
  start(options);
  const OpenedStream opened = open(stream());
  const auto other = replica_->open(writer(), stream("mpirun.log"));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, ErrorCode::kPermission);
  EXPECT_FALSE(replica_->append(opened.handle, 0, std::string(5000, 'x')));
}

TEST_F(RunReplicaTest, TheRunIsLockedWhileItIsWritten) {
  replica_->attach(writer());
  EXPECT_TRUE(directory().is_locked());
  replica_->detach(writer());
  EXPECT_FALSE(directory().is_locked());
}

TEST_F(RunReplicaTest, ADirectoryHasOneCollector) {
  EXPECT_FALSE(RunReplica::open(scratch() / "store"));
}

TEST_F(RunReplicaTest, AFullDiskIsSaidAndOverWhenThereIsRoom) {
  replica_.reset();
  const fs::path mount = scratch() / "small";
  fs::create_directories(mount);
  MUSTER_EXPECT_IN_FORK([&]() -> std::string {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", mount.c_str(), "tmpfs", 0, "size=4m") != 0) {
      return test::kSkip + "no tmpfs can be mounted here";
    }
    std::ofstream(mount / "ballast") << std::string(2 << 20, 'b');
    auto opened = RunReplica::open(mount / "store");
    if (!opened) return opened.error().message;
    RunReplica& replica = **opened;
    if (!replica.admit(writer())) return "not admitted";
    auto into = replica.open(writer(), stream());
    if (!into) return into.error().message;
    const std::string block(100'000, 'x');
    std::uint64_t stored = 0;
    Result<> appended;
    while (appended && stored < (8 << 20)) {
      appended = replica.append(into->handle, stored, block);
      if (appended) stored += block.size();
    }
    if (appended) return "it never failed";
    if (!replica.is_full()) return "it does not say that it is full";
    fs::remove(mount / "ballast");
    for (int tries = 0; tries < 100 && replica.is_full(); ++tries) ::usleep(50'000);
    if (replica.is_full()) return "it stays full";
    into = replica.open(writer(), stream());
    if (!into || into->next < stored) return "what was stored is gone";
    appended = replica.append(into->handle, into->next, block);
    return appended ? "" : appended.error().message;
  });
}

}  // namespace
}  // namespace muster::replication
