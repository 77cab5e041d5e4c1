#include "launcher/report/last_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "collector/store/stream_ledger.h"

namespace muster::report {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class LastLinesTest : public testing::Test {
 protected:
  std::vector<std::string> last(std::size_t count, std::size_t max_bytes = 1 << 16) {
    return last_lines(file_, count, max_bytes);
  }

  void hold(std::string_view text) { ASSERT_TRUE(replace_file(file_, text)); }

  TemporaryDirectory directory_ =
      std::move(*TemporaryDirectory::create(std::filesystem::temp_directory_path(), "last-lines-"));
  std::filesystem::path file_ = directory_.path() / "stderr.log";
};

TEST_F(LastLinesTest, GivesTheEndWithOrWithoutAFinalNewline) {
  hold("a\nb\nc\n");
  EXPECT_THAT(last(2), ElementsAre("b", "c"));
  EXPECT_THAT(last(20), ElementsAre("a", "b", "c"));
  hold("a\nb\nc");
  EXPECT_THAT(last(2), ElementsAre("b", "c"));
}

TEST_F(LastLinesTest, IsEmptyForAFileThatIsEmptyOrNotThere) {
  EXPECT_THAT(last(20), IsEmpty());
  hold("");
  EXPECT_THAT(last(20), IsEmpty());
  EXPECT_THAT(last_lines(directory_.path(), 20, 100), IsEmpty());
}

TEST_F(LastLinesTest, LeavesOutALineWhoseBeginningItDidNotRead) {
  hold(std::string(1000, 'x') + "\nshort\n");
  EXPECT_THAT(last(20, 100), ElementsAre("short"));
  hold(std::string(1000, 'x') + "\n");
  EXPECT_THAT(last(20, 100), ElementsAre(std::string(99, 'x')));
}

TEST_F(LastLinesTest, IsSafeToPrint) {
  hold("\x1b[31mred\x1b[2J\n 10%\r 99%\n\xff\n");
  EXPECT_THAT(last(20), ElementsAre("red^[[2J", " 99%", "\\xff"));
}

TEST_F(LastLinesTest, SaysWhereBytesAreNotStored) {
  ASSERT_TRUE(make_directories(directory_.path() / ".muster"));
  store::StreamLedger ledger(directory_.path() / ".muster/streams.jsonl");
  hold("one\nhal" + std::string(5000, '\0') + "f\ntwo\n" + std::string(2, '\0') + "\n");
  ledger.gap("stderr.log", {7, 5007, "overflow"});
  EXPECT_THAT(last(20), ElementsAre("one", "hal", "… 4.9 KiB are missing here (overflow) …", "f",
                                    "two", "^@^@"))
      << "zeros that were written are bytes";
  EXPECT_THAT(last(20, 100),
              ElementsAre("… 4.9 KiB are missing here (overflow) …", "f", "two", "^@^@"));
}

}  // namespace
}  // namespace muster::report
