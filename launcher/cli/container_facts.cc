// Nothing in a container tells its image for certain: podman does in privileged ones, apptainer by
// a variable, and others when the image sets MUSTER_IMAGE.

#include "launcher/cli/container_facts.h"

#include <sys/statvfs.h>

#include "base/files.h"
#include "base/text.h"

namespace muster::cli {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kLargestFile = 65'536;

// The value of `image="docker.io/library/debian:12"`; podman leaves the file empty in ordinary
// containers.
std::string image_of_containerenv(const std::string& text) {
  for (const std::string& line : split(text, '\n')) {
    constexpr std::string_view kMark = "image=\"";
    if (line.starts_with(kMark) && line.size() > kMark.size()) {
      return line.substr(kMark.size(), line.rfind('"') - kMark.size());
    }
  }
  return {};
}

}  // namespace

plan::ContainerFacts find_container(const std::map<std::string, std::string>& environment,
                                    const fs::path& root) {
  plan::ContainerFacts facts;
  const auto value = [&](const char* name) {
    const auto found = environment.find(name);
    return found == environment.end() ? std::string() : found->second;
  };
  std::error_code ignored;
  const fs::path containerenv = root / "run/.containerenv";
  if (fs::exists(containerenv, ignored)) {
    facts.kind = "a podman container";
    facts.image = image_of_containerenv(read_file(containerenv, kLargestFile).value_or(""));
    facts.known_by = "/run/.containerenv";
  } else if (fs::exists(root / ".dockerenv", ignored)) {
    facts.kind = "a docker container";
  } else if (!value("APPTAINER_CONTAINER").empty() || !value("SINGULARITY_CONTAINER").empty()) {
    facts.kind = "an apptainer container";
  } else if (!value("KUBERNETES_SERVICE_HOST").empty() || !value("container").empty()) {
    facts.kind = "a container";
  }
  if (const std::string named = value("MUSTER_IMAGE"); !named.empty()) {
    if (facts.kind.empty()) facts.kind = "a container";
    facts.image = named;
    facts.known_by = "MUSTER_IMAGE";
  }
  struct statvfs room {};
  if (::statvfs((root / "dev/shm").c_str(), &room) == 0) {
    facts.shm_bytes = std::uint64_t{room.f_blocks} * room.f_frsize;
  }
  return facts;
}

}  // namespace muster::cli
