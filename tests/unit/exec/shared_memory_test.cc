#include "launcher/exec/shared_memory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::exec {
namespace {

using Place = SharedMemoryChoice::Place;
using ::testing::HasSubstr;

constexpr std::uint64_t kMiB = 1 << 20;

TEST(SharedMemoryTest, LiesInShmWhereThatHasRoomForAllRanks) {
  const auto choice = choose_shared_memory(8, shared_memory_needed(8), 0, "/tmp");
  EXPECT_EQ(choice.place, Place::kShm);
  EXPECT_EQ(choice.warning, "");
}

// Docker's default: enough for 15 ranks, not for 16.
TEST(SharedMemoryTest, SixtyFourMebibytesAreEnoughForFifteenRanks) {
  EXPECT_EQ(choose_shared_memory(15, 64 * kMiB, 1000 * kMiB, "/tmp").place, Place::kShm);
  EXPECT_EQ(choose_shared_memory(16, 64 * kMiB, 1000 * kMiB, "/tmp").place,
            Place::kRuntimeDirectory);
}

TEST(SharedMemoryTest, LiesInTheRuntimeDirectoryElseAndTheWarningSaysAllOfIt) {
  const auto choice = choose_shared_memory(2, 64 * 1024, 100 * kMiB, "/tmp");
  EXPECT_EQ(choice.place, Place::kRuntimeDirectory);
  EXPECT_EQ(choice.warning,
            "/dev/shm has 64.0 KiB free, and Open MPI shares 8.1 MiB between 2 ranks: it lies in "
            "/tmp instead, slower if that is a disk (make /dev/shm larger: docker and podman run "
            "--shm-size, Kubernetes an emptyDir with medium: Memory)");
}

TEST(SharedMemoryTest, WithoutShmARuntimeDirectoryWithRoomIsNothingToWarnOf) {
  const auto choice = choose_shared_memory(2, std::nullopt, 100 * kMiB, "/tmp");
  EXPECT_EQ(choice.place, Place::kRuntimeDirectory);
  EXPECT_EQ(choice.warning, "");
}

TEST(SharedMemoryTest, WithoutRoomAnywhereMessagesGoOverTcp) {
  for (const std::optional<std::uint64_t> shm_free :
       {std::optional<std::uint64_t>(), std::optional<std::uint64_t>(kMiB)}) {
    const auto choice = choose_shared_memory(2, shm_free, kMiB, "/tmp");
    EXPECT_EQ(choice.place, Place::kNone);
    EXPECT_THAT(choice.warning, HasSubstr("/tmp has no room either, so messages go over TCP"));
  }
}

// A tmpfs without a limit, or one that cannot be asked.
TEST(SharedMemoryTest, ARuntimeDirectoryOfUnknownRoomIsTaken) {
  EXPECT_EQ(choose_shared_memory(2, 0, std::nullopt, "/tmp").place, Place::kRuntimeDirectory);
}

TEST(SharedMemoryTest, OpenMpi5SharesFourTimesAsMuch) {
  EXPECT_GE(shared_memory_needed(8, 5), 128 * kMiB);
  EXPECT_LT(shared_memory_needed(8, 4), 64 * kMiB);
  EXPECT_EQ(choose_shared_memory(8, 64 * kMiB, 1024 * kMiB, "/tmp", 4).place, Place::kShm);
  EXPECT_EQ(choose_shared_memory(8, 64 * kMiB, 1024 * kMiB, "/tmp", 5).place,
            Place::kRuntimeDirectory);
}

TEST(SharedMemoryTest, RoomIsAskedOfTheFileSystem) {
  EXPECT_GT(free_bytes("/").value_or(0), 0U);
  EXPECT_EQ(free_bytes("/nowhere"), std::nullopt);
}

}  // namespace
}  // namespace muster::exec
