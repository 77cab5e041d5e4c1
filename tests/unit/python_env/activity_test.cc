#include "launcher/python_env/activity.h"

#include <thread>

#include <gtest/gtest.h>

#include "base/process.h"

namespace muster::python_env {
namespace {

using namespace std::chrono_literals;

Child start(const std::string& script) {
  ChildSpec spec;
  spec.program = "/bin/sh";
  spec.argv = {"/bin/sh", "-c", script, "its-mark"};
  auto child = Child::start(spec);
  EXPECT_TRUE(child);
  return std::move(*child);
}

// Whether it complains within a second of looking every 50 ms.
bool complains(Activity& activity) {
  for (int look = 0; look < 20; ++look) {
    if (!activity.check()) return true;
    std::this_thread::sleep_for(50ms);
  }
  return false;
}

TEST(Activity, OfAProgramThatSleepsIsNone) {
  const Child child = start("exec sleep 60");
  Activity activity("sleep", 400ms);
  EXPECT_TRUE(complains(activity));
}

TEST(Activity, IsSeenInWhatIsBelowAProgram) {
  const Child child = start("while :; do sleep 0.02; done; :");
  Activity activity("its-mark", 400ms);
  EXPECT_FALSE(complains(activity));
}

}  // namespace
}  // namespace muster::python_env
