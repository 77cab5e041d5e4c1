// What a config asks of its container, compared with the one that Muster runs in.  Warnings, never
// errors: the run may well work.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "launcher/config/run_config.h"

namespace muster::plan {

struct LaunchPlan;

struct ContainerFacts {
  std::string kind;      // "podman", "docker", "apptainer", "a container"; "" outside of any
  std::string image;     // "" when nothing tells it
  std::string known_by;  // "MUSTER_IMAGE", "/run/.containerenv"
  std::optional<std::uint64_t> shm_bytes;  // size of /dev/shm; nullopt: there is none
};

// Whether two names mean one image: "azureml/base" and "docker.io/azureml/base:latest" do.
bool is_same_image(const std::string& a, const std::string& b);

void check_container(const config::RunConfig& config, const ContainerFacts& facts,
                     LaunchPlan& plan);

}  // namespace muster::plan
