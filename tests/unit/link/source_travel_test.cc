// A tree that travels to another node piece by piece.
#include "launcher/link/source_travel.h"

#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "tests/support/scratch.h"

namespace muster::link {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

class SourceTravelTest : public test::ScratchTest {
 protected:
  // How often the taker has asked.
  int travel() {
    auto sender = SourceSender::open(scratch() / "from");
    auto taker = SourceTaker::open(scratch() / "to");
    EXPECT_TRUE(sender && taker);
    for (int asked = 1;; ++asked) {
      const auto parts = sender->next();
      EXPECT_TRUE(parts) << parts.error().message;
      auto state = SourceTaker::State::kGoesOn;
      for (const auto& part : *parts) {
        EXPECT_NE(state, SourceTaker::State::kWantsMore) << "more than was asked for";
        const auto taken = taker->take(part);
        EXPECT_TRUE(taken) << taken.error().message;
        state = *taken;
      }
      if (state == SourceTaker::State::kDone) return asked;
      EXPECT_EQ(state, SourceTaker::State::kWantsMore) << "nobody would ask for the rest";
      if (state != SourceTaker::State::kWantsMore) return -1;
    }
  }
};

TEST_F(SourceTravelTest, ArrivesAsItWas) {
  fs::create_directories(scratch() / "from/deep/empty");
  ASSERT_TRUE(replace_file(scratch() / "from/run.sh", "#!/bin/sh\n"));
  fs::permissions(scratch() / "from/run.sh", fs::perms(0750));
  ASSERT_TRUE(replace_file(scratch() / "from/deep/nothing", ""));
  std::string large((20U << 20) + 17, 'x');
  large[9U << 20] = 'y';
  ASSERT_TRUE(replace_file(scratch() / "from/deep/large", large));
  ASSERT_TRUE(replace_file(scratch() / "from/deep/window", std::string(kSourceWindow, 'w')));
  fs::create_symlink("deep/large", scratch() / "from/link");
  EXPECT_GE(travel(), 4);
  EXPECT_EQ(*read_file(scratch() / "to/run.sh"), "#!/bin/sh\n");
  EXPECT_EQ(fs::status(scratch() / "to/run.sh").permissions(), fs::perms(0750));
  EXPECT_EQ(*read_file(scratch() / "to/deep/large"), large);
  EXPECT_EQ(fs::file_size(scratch() / "to/deep/window"), kSourceWindow);
  EXPECT_EQ(fs::file_size(scratch() / "to/deep/nothing"), 0U);
  EXPECT_TRUE(fs::is_directory(scratch() / "to/deep/empty"));
  EXPECT_EQ(fs::read_symlink(scratch() / "to/link"), "deep/large");
}

TEST_F(SourceTravelTest, NothingLeadsOutOfIt) {
  auto taker = SourceTaker::open(scratch() / "to");
  ASSERT_TRUE(taker);
  for (const char* path : {"../evil", "/etc/evil", "a/../../evil", "a//b"}) {
    protocol::SourcePart part;
    part.set_path(path);
    part.set_last_of_file(true);
    ASSERT_FALSE(taker->take(part)) << path;
  }
  fs::create_directories(scratch() / "outside");
  protocol::SourcePart link;
  link.set_path("link");
  link.set_link_target((scratch() / "outside").string());
  ASSERT_TRUE(taker->take(link));
  protocol::SourcePart through;
  through.set_path("link/evil");
  through.set_last_of_file(true);
  EXPECT_FALSE(taker->take(through));
  EXPECT_TRUE(fs::is_empty(scratch() / "outside"));
}

}  // namespace
}  // namespace muster::link
