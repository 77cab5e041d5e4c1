#include "collector/store/time_index.h"

#include <csignal>
#include <sys/resource.h>

#include "collector/store/stream_file.h"
#include "tests/support/forked.h"
#include "tests/support/scratch.h"

namespace muster::store {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

const WallTime kStart(1'700'000'000s);

class TimeIndexTest : public test::ScratchTest {
 protected:
  fs::path path() const { return scratch() / "stdout.log.index"; }

  TimeIndex opened() const {
    TimeIndex index(path());
    index.look();
    return index;
  }

  TimeIndexWriter writer_{scratch() / "stdout.log.index"};
};

TEST_F(TimeIndexTest, IsAsItIsDocumented) {
  EXPECT_EQ(time_index_of("a/stdout.log"), "a/stdout.log.index");
  writer_.note(0, WallTime(1ns));
  writer_.note(0x0102, WallTime(0x11223344'55667788ns));
  EXPECT_EQ(read(path()), std::string("MUSTIDX\1"
                                      "\1\0\0\0\0\0\0\0"
                                      "\0\0\0\0\0\0\0\0"
                                      "\x88\x77\x66\x55\x44\x33\x22\x11"
                                      "\2\1\0\0\0\0\0\0",
                                      40));
}

TEST_F(TimeIndexTest, FindsTheTimeOfAByteAndTheBytesOfATime) {
  for (std::uint64_t i = 0; i < 2000; ++i) writer_.note(i * 10, kStart + i * 5ms);
  const TimeIndex index = opened();
  ASSERT_EQ(index.size(), 2000U);
  for (const std::uint64_t number : {0U, 1U, 511U, 512U, 777U, 1999U}) {
    EXPECT_EQ(index.find_offset(number * 10), number);
    EXPECT_EQ(index.find_offset(number * 10 + 9), number);
    EXPECT_EQ(index.find_time(kStart + number * 5ms), number);
    EXPECT_EQ(index.find_time(kStart + number * 5ms - 1ns), number);
    ASSERT_TRUE(index.at(number));
    EXPECT_EQ(index.at(number)->time, kStart + number * 5ms);
    EXPECT_EQ(index.at(number)->offset, number * 10);
  }
  EXPECT_EQ(index.find_offset(1U << 30), 1999U) << "also beyond the end of the stream";
  EXPECT_EQ(index.find_time(kStart + 1h), 2000U);
  EXPECT_EQ(index.at(2000), std::nullopt);
}

TEST_F(TimeIndexTest, HasOneRecordForAMillisecond) {
  for (int i = 0; i < 10'000; ++i) {
    writer_.note(static_cast<std::uint64_t>(i), kStart + i * 10us);
  }
  EXPECT_EQ(opened().size(), 100U);
}

TEST_F(TimeIndexTest, NotesAClockThatWasSetBack) {
  writer_.note(0, kStart);
  writer_.note(1, kStart - 1h);
  writer_.note(2, kStart - 1h + 2ms);
  const TimeIndex index = opened();
  ASSERT_EQ(index.size(), 3U);
  EXPECT_EQ(index.at(1)->time, kStart - 1h);
  EXPECT_EQ(index.find_offset(1), 1U);
}

TEST_F(TimeIndexTest, AReaderSeesWhatHasGrown) {
  TimeIndex index(path());
  index.look();
  EXPECT_EQ(index.size(), 0U) << "there is no file yet";
  writer_.note(0, kStart);
  index.look();
  EXPECT_EQ(index.size(), 1U);
  EXPECT_EQ(index.find_offset(7), 0U);
  writer_.note(5, kStart + 1s);
  EXPECT_EQ(index.find_offset(7), 0U) << "not before it looks";
  index.look();
  EXPECT_EQ(index.find_offset(7), 1U);
}

TEST_F(TimeIndexTest, ALastRecordThatIsCutShortIsIgnored) {
  writer_.note(0, kStart);
  writer_.note(5, kStart + 1s);
  for (const std::size_t size : {39U, 25U, 24U}) {
    fs::resize_file(path(), size);
    EXPECT_EQ(opened().size(), 1U) << size;
  }
  for (const std::size_t size : {23U, 8U, 7U, 0U}) {
    fs::resize_file(path(), size);
    const TimeIndex index = opened();
    EXPECT_EQ(index.size(), 0U) << size;
    EXPECT_EQ(index.find_offset(0), std::nullopt);
    EXPECT_EQ(index.find_time(kStart), 0U);
  }
}

TEST_F(TimeIndexTest, AFileOfAnotherKindIsNoIndex) {
  write("stdout.log.index", std::string(1000, 'x'));
  EXPECT_EQ(opened().size(), 0U);
  fs::remove(path());
  fs::create_directory(path());
  EXPECT_EQ(opened().size(), 0U);
  writer_.note(0, kStart);
  writer_.note(1, kStart + 1s);  // it is not ours to write; nothing happens
}

TEST_F(TimeIndexTest, AStreamMakesItsIndexWithItsFirstByte) {
  const auto before = std::chrono::system_clock::now();
  auto stream = StreamFile::create(scratch() / "stdout.log");
  ASSERT_TRUE(stream);
  stream->append("");
  EXPECT_FALSE(fs::exists(path()));
  stream->append("hello");
  const TimeIndex index = opened();
  ASSERT_EQ(index.size(), 1U);
  EXPECT_EQ(index.at(0)->offset, 0U);
  EXPECT_GE(index.at(0)->time, before);
  EXPECT_LE(index.at(0)->time, std::chrono::system_clock::now());
}

TEST_F(TimeIndexTest, AStreamOutlivesItsIndex) {
  MUSTER_EXPECT_IN_FORK([&]() -> std::string {
    // The index may not grow beyond its second record, the stream may.
    const rlimit limit{45, 45};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    std::signal(SIGXFSZ, SIG_IGN);
    auto stream = StreamFile::create(scratch() / "stdout.log");
    for (int i = 0; i < 4; ++i) {
      stream->append("0123456789");
      ::usleep(3000);
    }
    return stream->in_trouble() ? stream->problem() : "";
  });
  EXPECT_EQ(fs::file_size(scratch() / "stdout.log"), 40U);
  const TimeIndex index = opened();
  EXPECT_EQ(index.size(), 2U);
  EXPECT_EQ(index.find_offset(35), 1U);
}

}  // namespace
}  // namespace muster::store
