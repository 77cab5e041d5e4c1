#include "launcher/cluster/schedulers.h"

#include <algorithm>

#include "base/text.h"

namespace muster::cluster {

const std::vector<Scheduler>& schedulers() {
  static const std::vector<Scheduler> table = {
      {"Slurm", look_at_slurm},
      {"Kubeflow PyTorchJob", look_at_pytorchjob},
      {"Kubeflow MPIJob", look_at_mpijob},
      {"Kubernetes Indexed Job", look_at_indexed_job},
      {"SageMaker", look_at_sagemaker},
      {"Vertex AI", look_at_vertex},
      {"AWS Batch", look_at_aws_batch},
      {"Azure Batch", look_at_azure_batch},
      {"PBS", look_at_pbs},
      {"LSF", look_at_lsf},
  };
  return table;
}

std::optional<std::string> variable(const Surroundings& around, const std::string& name) {
  const auto found = around.environment.find(name);
  if (found == around.environment.end() || found->second.empty()) return std::nullopt;
  return found->second;
}

Failure senseless(const std::string& name, const std::string& value, const std::string& why) {
  constexpr std::size_t kMostShown = 200;
  const std::string shown = without_controls(value.substr(0, kMostShown));
  return fail(ErrorCode::kUsage,
              name + " is `" + shown + (value.size() > kMostShown ? "…" : "") + "`, " + why,
              "a scheduler sets it; unset it, or give --node-rank and --rendezvous");
}

Result<std::optional<Told<int>>> number(const Surroundings& around, const std::string& name) {
  const auto text = variable(around, name);
  if (!text) return std::optional<Told<int>>();
  const auto value = parse_integer(*text);
  if (!value || *value < 0 || *value > 1'000'000)
    return senseless(name, *text, "which is no count");
  return std::optional(Told<int>{static_cast<int>(*value), name});
}

std::optional<int> place_of_host(const std::vector<std::string>& hosts, const std::string& name) {
  const auto place = [&](auto same) -> std::optional<int> {
    const auto at = std::find_if(hosts.begin(), hosts.end(), same);
    if (at == hosts.end()) return std::nullopt;
    return static_cast<int>(at - hosts.begin());
  };
  if (const auto exact = place([&](const std::string& host) { return host == name; })) return exact;
  const std::string start = name.substr(0, name.find('.'));
  return place([&](const std::string& host) { return host.substr(0, host.find('.')) == start; });
}

}  // namespace muster::cluster
