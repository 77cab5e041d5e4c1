#include "launcher/link/mailbox.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <memory>

namespace muster::link {
namespace {

bool readable(int fd) {
  pollfd polled{fd, POLLIN, 0};
  return ::poll(&polled, 1, 0) == 1;
}

TEST(Mailbox, WhoeverStopsReadingLeavesTheRest) {
  Mailbox<std::unique_ptr<int>> box;
  EXPECT_FALSE(readable(box.fd()));
  for (const int number : {1, 2, 3}) box.put(std::make_unique<int>(number));
  EXPECT_EQ(**box.next(), 1);
  EXPECT_TRUE(readable(box.fd()));
  EXPECT_EQ(**box.next(), 2);
  box.put(std::make_unique<int>(4));
  EXPECT_EQ(**box.next(), 3);
  EXPECT_EQ(**box.next(), 4);
  EXPECT_TRUE(readable(box.fd()));  // until nothing was found
  EXPECT_FALSE(box.next());
  EXPECT_FALSE(readable(box.fd()));
}

TEST(Mailbox, AWakeIsSeenOnce) {
  Mailbox<int> box;
  box.wake();
  EXPECT_TRUE(readable(box.fd()));
  EXPECT_FALSE(box.next());
  EXPECT_FALSE(readable(box.fd()));
}

}  // namespace
}  // namespace muster::link
