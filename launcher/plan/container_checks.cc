#include "launcher/plan/container_checks.h"

#include "base/text.h"
#include "launcher/config/values.h"
#include "launcher/plan/launch_plan.h"

namespace muster::plan {
namespace {

struct ImageName {
  std::string path;  // "azureml/base", without a registry that is implied
  std::string tag;   // "latest" where nothing is said; "" beside a digest
  std::string digest;
};

ImageName parse_image(std::string_view text) {
  if (const std::size_t scheme = text.find("://"); scheme != std::string_view::npos) {
    text.remove_prefix(scheme + 3);
  }
  ImageName name;
  if (const std::size_t at = text.find('@'); at != std::string_view::npos) {
    name.digest = text.substr(at + 1);
    text = text.substr(0, at);
  }
  const std::size_t colon = text.rfind(':');
  const std::size_t slash = text.rfind('/');
  if (colon != std::string_view::npos && (slash == std::string_view::npos || colon > slash)) {
    name.tag = text.substr(colon + 1);
    text = text.substr(0, colon);
  } else if (name.digest.empty()) {
    name.tag = "latest";
  }
  for (const std::string_view implied :
       {"docker.io/", "index.docker.io/", "localhost/", "library/"}) {
    if (text.starts_with(implied)) text.remove_prefix(implied.size());
  }
  name.path = text;
  return name;
}

// The service's configs leave its registry out: "azureml/base" is "mcr.microsoft.com/azureml/base".
bool is_path_of(const std::string& path, const std::string& whole) {
  return path == whole || (path.find('/') != std::string::npos && whole.ends_with("/" + path));
}

void check_image(const config::RunConfig& config, const ContainerFacts& facts, LaunchPlan& plan) {
  if (!config.image.value) return;
  const std::string& wanted = *config.image.value;
  const std::string& origin = config.image.origin.text;
  plan.image = wanted;
  const std::string place =
      facts.kind.empty() ? "this is not a container" : "this is " + facts.kind;
  if (!facts.image.empty() && is_same_image(wanted, facts.image)) {
    plan.reasons.push_back(
        {"image", wanted, origin + "; the container is of it (" + facts.known_by + ")"});
    return;
  }
  const std::string here =
      facts.image.empty() ? place + (facts.kind.empty() ? "" : " of an image that it does not tell")
                          : "the container is of " + facts.image + " (" + facts.known_by + ")";
  plan.reasons.push_back({"image", wanted, origin + "; " + here});
  const bool unknown = !facts.kind.empty() && facts.image.empty();
  plan.warnings.push_back("the config asks for the image " + wanted + " (" + origin + "), and " +
                          here + ": ranks run with what is installed here" +
                          (unknown ? "; set MUSTER_IMAGE in the image to have it compared" : ""));
}

void check_shared_memory(const config::RunConfig& config, const ContainerFacts& facts,
                         LaunchPlan& plan) {
  const auto& setting = config.resources.shm_size;
  if (!setting.value) return;
  const auto wanted = config::parse_byte_count(*setting.value);
  if (!wanted) return;
  const auto bytes = static_cast<std::uint64_t>(*wanted);
  const std::string have =
      facts.shm_bytes ? format_bytes(*facts.shm_bytes) : std::string("no /dev/shm");
  plan.reasons.push_back({"shm_size", *setting.value, setting.origin.text + "; here " + have});
  if (facts.shm_bytes && *facts.shm_bytes >= bytes) return;
  const std::string lacks = facts.shm_bytes ? "/dev/shm has " + have : "there is no /dev/shm here";
  plan.warnings.push_back(
      "shm_size is " + *setting.value + " (" + setting.origin.text + "), and " + lacks + ": " +
      (facts.kind.empty() ? "mount -o remount,size=" + *setting.value + " /dev/shm"
                          : "start the container with --shm-size=" + *setting.value));
}

}  // namespace

bool is_same_image(const std::string& a, const std::string& b) {
  const ImageName left = parse_image(a);
  const ImageName right = parse_image(b);
  if (!left.digest.empty() && !right.digest.empty()) return left.digest == right.digest;
  if (!is_path_of(left.path, right.path) && !is_path_of(right.path, left.path)) return false;
  return left.tag.empty() || right.tag.empty() || left.tag == right.tag;
}

void check_container(const config::RunConfig& config, const ContainerFacts& facts,
                     LaunchPlan& plan) {
  plan.container_image = facts.image;
  check_image(config, facts, plan);
  check_shared_memory(config, facts, plan);
}

}  // namespace muster::plan
