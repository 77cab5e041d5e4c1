#include "rank_agent/core_dump.h"

#include <gtest/gtest.h>

namespace muster::agent {
namespace {

const CrashFacts kFacts{4711, 11, 1000, 100, "node-a", "/data/run"};

std::string place(const std::string& pattern, bool append_pid = false) {
  const auto found = core_place(pattern, append_pid, kFacts);
  if (!found) return "unknown";
  return found->handler.empty() ? (found->directory / found->name).string() : "|" + found->handler;
}

TEST(CorePlaceTest, ARelativePatternIsInTheWorkingDirectory) {
  EXPECT_EQ(place("core"), "/data/run/core");
  EXPECT_EQ(place("core", true), "/data/run/core.4711");
  EXPECT_EQ(place("core.%p", true), "/data/run/core.4711") << "not twice";
}

TEST(CorePlaceTest, AnAbsolutePatternIsWhereItSays) {
  EXPECT_EQ(place("/cores/%h-%u-%g-%s-%p"), "/cores/node-a-1000-100-11-4711");
  EXPECT_EQ(place("/cores/100%%"), "/cores/100%");
}

TEST(CorePlaceTest, WhatOnlyTheKernelKnowsMayBeAnything) {
  EXPECT_EQ(place("/cores/core.%e.%t.%P"), "/cores/core.*.*.*");
  EXPECT_EQ(place("/cores/%t/core"), "unknown") << "directories are not searched for";
  EXPECT_EQ(place("core.%"), "/data/run/core.");
}

TEST(CorePlaceTest, AHandlerTakesThemAll) {
  EXPECT_EQ(place("|/lib/systemd/systemd-coredump %P %u %g %s %t %c %h"),
            "|/lib/systemd/systemd-coredump");
  EXPECT_EQ(place("|/usr/share/apport/apport"), "|/usr/share/apport/apport");
}

}  // namespace
}  // namespace muster::agent
