#include "collector/store/stream_file.h"

#include <csignal>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "tests/support/forked.h"
#include "tests/support/scratch.h"

namespace muster::store {
namespace {

namespace fs = std::filesystem;

class StreamFileTest : public test::ScratchTest {
 protected:
  fs::path path() const { return scratch() / "stdout.log"; }

  // Fills a stream until it fails, then appends 100 bytes more; "" when its account is right.
  static std::string fill(const fs::path& path, const std::string& expected_reason) {
    auto stream = StreamFile::create(path);
    if (!stream) return stream.error().message;
    const std::string block(10'000, 'x');
    std::uint64_t given = 0;
    Result<> appended;
    while (appended && given < (64U << 20)) {
      appended = stream->append(block);
      given += block.size();
    }
    if (appended) return "it never failed";
    if (appended.error().code != ErrorCode::kRunDirectory) return "another code";
    if (appended.error().message != "writing " + path.string() + ": " + expected_reason) {
      return appended.error().message;
    }
    if (stream->size() != fs::file_size(path)) return "size() is not the file's size";
    if (stream->size() + stream->lost_bytes() != given) return "stored + lost != given";
    const std::uint64_t stored = stream->size();
    const std::uint64_t lost = stream->lost_bytes();
    if (!stream->append(std::string(100, 'y'))) return "the error is told twice";
    if (stream->size() != stored || fs::file_size(path) != stored) return "it took more bytes";
    return stream->lost_bytes() == lost + 100 ? "" : "the later bytes are not counted";
  }
};

TEST_F(StreamFileTest, AppendsBytesAsTheyAre) {
  auto stream = StreamFile::create(path());
  ASSERT_TRUE(stream);
  const std::string bytes("a\0b\xff\r\n", 6);
  ASSERT_TRUE(stream->append(bytes));
  ASSERT_TRUE(stream->append(""));
  ASSERT_TRUE(stream->append(bytes));
  EXPECT_TRUE(read(path()) == bytes + bytes);
  EXPECT_EQ(stream->size(), 12U);
  EXPECT_EQ(stream->lost_bytes(), 0U);
}

TEST_F(StreamFileTest, EveryByteIsInTheFileAtOnce) {
  auto stream = StreamFile::create(path());
  ASSERT_TRUE(stream->append("one"));
  EXPECT_EQ(read(path()), "one") << "tail -f works: nothing is kept back";
}

TEST_F(StreamFileTest, AStreamIsWrittenOnce) {
  write("stdout.log", "of another run");
  const auto stream = StreamFile::create(path());
  ASSERT_FALSE(stream);
  EXPECT_EQ(stream.error().code, ErrorCode::kRunDirectory);
  EXPECT_EQ(stream.error().message, "creating " + path().string() + ": File exists");
  EXPECT_EQ(read(path()), "of another run");
}

TEST_F(StreamFileTest, AMissingDirectoryIsAnError) {
  EXPECT_FALSE(StreamFile::create(scratch() / "none" / "stdout.log"));
}

TEST_F(StreamFileTest, StoredAndLostBytesAddUpWhereAFileMayNotGrow) {
  MUSTER_EXPECT_IN_FORK([&] {
    const rlimit limit{25'000, 25'000};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    std::signal(SIGXFSZ, SIG_IGN);
    return fill(path(), "File too large");
  });
  EXPECT_EQ(fs::file_size(path()), 25'000U) << "the part that fits is kept";
}

TEST_F(StreamFileTest, StoredAndLostBytesAddUpOnAFullDisk) {
  const fs::path disk = scratch() / "disk";
  fs::create_directory(disk);
  MUSTER_EXPECT_IN_FORK([&]() -> std::string {
    // In a mount namespace of its own, so that nothing is left mounted, whatever happens.
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=128k") != 0) {
      return test::kSkip + "no tmpfs can be mounted here";
    }
    return fill(disk / "stdout.log", "No space left on device");
  });
}

}  // namespace
}  // namespace muster::store
