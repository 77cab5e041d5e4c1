#include "collector/store/stream_file.h"

#include <csignal>
#include <functional>
#include <map>
#include <random>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "collector/store/digest.h"
#include "tests/support/forked.h"
#include "tests/support/scratch.h"

namespace muster::store {
namespace {

namespace fs = std::filesystem;

class StreamFileTest : public test::ScratchTest {
 protected:
  fs::path path() const { return scratch() / "stdout.log"; }

  // A stream on a disk that becomes full; "" when its account is right.
  static std::string fill(const fs::path& path, const std::string& expected_reason) {
    auto stream = StreamFile::create(path);
    if (!stream) return stream.error().message;
    std::vector<Gap> told;
    stream->on_gap = [&](const Gap& gap) { told.push_back(gap); };
    const std::string block(10'000, 'x');
    std::uint64_t given = 0;
    while (given < (2U << 20)) {
      stream->append(block);
      given += block.size();
    }
    if (!stream->in_trouble()) return "it never failed";
    if (stream->problem() != "writing " + path.string() + ": " + expected_reason) {
      return stream->problem();
    }
    if (stream->size() != fs::file_size(path)) return "size() is not the file's size";
    if (stream->length() != given) return "length() is not what came";
    if (told.size() != 1 || told[0] != Gap{stream->size(), std::nullopt, "disk_full"}) {
      return "a gap is told when it begins";
    }
    stream->finish();
    const std::vector<Gap> expected{{stream->size(), given, "disk_full"}};
    if (stream->gaps() != expected || told.back() != expected[0]) return "the gap is another";
    const LedgerEnd end = stream->end();
    if (end.length != given || end.stored != fs::file_size(path)) return "the end is another";
    return end.xxh3 == digest_of(std::string(end.stored, 'x')) ? "" : "the digest is another";
  }
};

TEST_F(StreamFileTest, AppendsBytesAsTheyAre) {
  auto stream = StreamFile::create(path());
  ASSERT_TRUE(stream);
  const std::string bytes("a\0b\xff\r\n", 6);
  stream->append(bytes);
  stream->append("");
  stream->append(bytes);
  EXPECT_TRUE(read(path()) == bytes + bytes);
  EXPECT_EQ(stream->size(), 12U);
  EXPECT_TRUE(stream->gaps().empty());
  EXPECT_EQ(stream->end(), (LedgerEnd{12, 12, digest_of(bytes + bytes)}));
}

TEST_F(StreamFileTest, EveryByteIsInTheFileAtOnce) {
  auto stream = StreamFile::create(path());
  stream->append("one");
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

// A small disk in a mount namespace of its own, so that nothing is left mounted, whatever happens.
std::string on_small_disk(const fs::path& disk, const std::function<std::string()>& body) {
  fs::create_directory(disk);
  return test::in_forked_process([&]() -> std::string {
    if (::unshare(CLONE_NEWNS) != 0 ||
        ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        ::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=1m") != 0) {
      return test::kSkip + "no tmpfs can be mounted here";
    }
    return body();
  });
}

// Bytes and trouble in any order: what is in the file is what came, but for the gaps.
std::string keeps_its_account(const fs::path& disk, std::mt19937& random) {
  const auto number = [&](std::size_t most) {
    return std::uniform_int_distribution<std::size_t>(0, most)(random);
  };
  auto stream = StreamFile::create(disk / "stdout.log");
  if (!stream) return stream.error().message;
  std::map<std::uint64_t, Gap> told;
  stream->on_gap = [&](const Gap& gap) { told[gap.from] = gap; };
  std::string came;
  for (int step = 0; step < 200; ++step) {
    switch (number(3)) {
      case 0: {
        std::ofstream(disk / "ballast") << std::string(number(1 << 20), 'b');
        break;
      }
      case 1: {
        fs::remove(disk / "ballast");
        stream->retry();
        break;
      }
      default: {
        std::string bytes(number(step % 10 == 0 ? 400'000 : 20'000), '\0');
        for (char& byte : bytes) byte = static_cast<char>(1 + number(200));
        if (came.size() < (700U << 10)) {
          came += bytes;
          stream->append(bytes);
        }
      }
    }
    if (stream->length() != came.size()) return "length() is not what came";
    if (fs::file_size(disk / "stdout.log") != stream->size()) return "size() is not the file's";
  }
  fs::remove(disk / "ballast");
  stream->retry();
  stream->finish();
  std::ifstream file(disk / "stdout.log", std::ios::binary);
  const std::string stored(std::istreambuf_iterator<char>(file), {});
  std::string expected = came;
  std::string without_gaps;
  std::uint64_t at = 0;
  for (const Gap& gap : stream->gaps()) {
    if (!gap.to || gap.from < at || told[gap.from] != gap) return "a gap is wrong";
    std::fill(expected.begin() + static_cast<std::ptrdiff_t>(gap.from),
              expected.begin() + static_cast<std::ptrdiff_t>(*gap.to), '\0');
    without_gaps += came.substr(at, gap.from - at);
    at = *gap.to;
  }
  without_gaps += came.substr(at);
  if (stored != expected.substr(0, stored.size())) return "other bytes are stored";
  if (expected.find_first_not_of('\0', stored.size()) != std::string::npos) {
    return "bytes are missing that no gap tells of";
  }
  const LedgerEnd end = stream->end();
  if (end.length != came.size() || end.stored != without_gaps.size()) return "the end is wrong";
  return end.xxh3 == digest_of(without_gaps) ? "" : "the digest is another";
}

TEST_F(StreamFileTest, StoredBytesAndGapsAreWhatCameInAnyOrderOfTrouble) {
  for (unsigned seed = 1; seed <= 12; ++seed) {
    SCOPED_TRACE(seed);
    const std::string said = on_small_disk(scratch() / ("disk" + std::to_string(seed)), [&] {
      std::mt19937 random(seed);
      return keeps_its_account(scratch() / ("disk" + std::to_string(seed)), random);
    });
    if (said.starts_with(test::kSkip)) GTEST_SKIP() << said;
    ASSERT_EQ(said, "");
  }
}

}  // namespace
}  // namespace muster::store
