#include "launcher/python_env/pip_environment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace muster::python_env {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;
using ::testing::StartsWith;

TEST(PipEnvironment, SettingsAreThoseThatDecide) {
  EXPECT_THAT(pip_settings({{"PIP_INDEX_URL", "https://h"},
                            {"PIP_NO_INDEX", ""},
                            {"PIP_TIMEOUT", "5"},
                            {"PATH", "/bin"}}),
              ElementsAre("index-url=https://h"));
  EXPECT_THAT(find_links_of({{"PIP_FIND_LINKS", "/a  /b"}}), ElementsAre("/a", "/b"));
}

TEST(PipEnvironment, MakersAreNotLedElsewhere) {
  const auto variables = maker_environment({{"PIP_TARGET", "/x"},
                                            {"PIP_USER", "1"},
                                            {"PYTHONPATH", "/x"},
                                            {"PIP_CERT", "/c"},
                                            {"PIP_NO_INPUT", "0"}},
                                           {{"MORE", "1"}});
  for (const char* name : {"PIP_TARGET=", "PIP_USER=", "PYTHONPATH="}) {
    EXPECT_THAT(variables, Not(Contains(StartsWith(name))));
  }
  for (const char* variable : {"PIP_CERT=/c", "PIP_NO_INPUT=1", "MORE=1"}) {
    EXPECT_THAT(variables, Contains(variable));
  }
}

}  // namespace
}  // namespace muster::python_env
