#include "launcher/plan/container_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "launcher/plan/launch_plan.h"

namespace muster::plan {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ContainerChecks, KnowOneImageByItsNames) {
  EXPECT_TRUE(is_same_image("debian", "docker.io/library/debian:latest"));
  EXPECT_TRUE(is_same_image("azureml/base:0.2", "mcr.microsoft.com/azureml/base:0.2"));
  EXPECT_TRUE(is_same_image("localhost/mine:1", "mine:1"));
  EXPECT_TRUE(is_same_image("docker://a/b", "a/b:latest"));
  EXPECT_TRUE(is_same_image("a/b@sha256:12", "c@sha256:12"));
  EXPECT_FALSE(is_same_image("a/b@sha256:12", "a/b@sha256:13"));
  EXPECT_FALSE(is_same_image("debian:11", "debian:12"));
  EXPECT_FALSE(is_same_image("base", "azureml/base"));
  EXPECT_TRUE(is_same_image("host:5000/a/b", "a/b"));
}

std::vector<std::string> warnings(const config::RunConfig& config, const ContainerFacts& facts) {
  LaunchPlan plan;
  check_container(config, facts, plan);
  return plan.warnings;
}

TEST(ContainerChecks, WarnOfAnotherImageAndOfNone) {
  config::RunConfig config;
  EXPECT_THAT(warnings(config, {"a docker container", "a:1", "MUSTER_IMAGE", {}}), IsEmpty());
  config.image.value = "train:1";
  EXPECT_THAT(warnings(config, {"a docker container", "train:1", "MUSTER_IMAGE", {}}), IsEmpty());
  EXPECT_THAT(warnings(config, {"a docker container", "train:2", "MUSTER_IMAGE", {}}),
              ElementsAre(HasSubstr("the container is of train:2 (MUSTER_IMAGE)")));
  EXPECT_THAT(warnings(config, {}), ElementsAre(HasSubstr("this is not a container")));
  EXPECT_THAT(warnings(config, {"a docker container", "", "", {}}),
              ElementsAre(HasSubstr("set MUSTER_IMAGE in the image")));
}

TEST(ContainerChecks, WarnOfASmallerDevShm) {
  config::RunConfig config;
  config.resources.shm_size.value = "2g";
  const std::uint64_t gib = std::uint64_t{1} << 30;
  EXPECT_THAT(warnings(config, {"", "", "", 2 * gib}), IsEmpty());
  EXPECT_THAT(warnings(config, {"a docker container", "", "", gib / 16}),
              ElementsAre(HasSubstr("/dev/shm has 64.0 MiB: start the container with "
                                    "--shm-size=2g")));
  EXPECT_THAT(warnings(config, {"", "", "", std::nullopt}),
              ElementsAre(HasSubstr("there is no /dev/shm here")));
}

}  // namespace
}  // namespace muster::plan
