// TF_CONFIG, and the same addresses as Batch AI names them.
//
// Workers are "worker", also the first: Azure ML names no chief, and TensorFlow's strategies take
// worker 0 for it.  (ParameterServerStrategy of TensorFlow 2 wants a "chief" by name: its script
// can rename worker 0, as docs/rank-environment.md shows.)  "ps" is there only when there are some:
// MultiWorkerMirroredStrategy refuses a cluster with an empty list.
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "launcher/plan/environment_families.h"
#include "launcher/plan/tensorflow_roles.h"

namespace muster::plan {
namespace {

std::string tf_config(const LaunchPlan& plan, const RankPlacement& rank, const StartValues& start) {
  nlohmann::ordered_json config;
  for (const RankRole role : {RankRole::kWorker, RankRole::kParameterServer}) {
    const std::vector<std::string> addresses = addresses_of(plan, role, start);
    if (!addresses.empty()) config["cluster"][to_string(role)] = addresses;
  }
  config["task"] = {{"type", to_string(rank.role)}, {"index", rank.role_index}};
  config["environment"] = "cloud";
  return config.dump();
}

}  // namespace

void add_tensorflow_names(const FamilyFacts& facts, Variables& variables) {
  if (!has_roles(facts.plan)) return;
  add(variables, "AZ_BATCHAI_WORKER_HOSTS", "");
  add(variables, "AZ_BATCHAI_PS_HOSTS", "");
}

void add_tensorflow_names(const FamilyFacts& facts, const RankPlacement&, Variables& variables) {
  if (has_roles(facts.plan)) add(variables, "TF_CONFIG", "");
}

void fill_tensorflow_names(const StartValues& start, LaunchPlan& plan) {
  if (!has_roles(plan)) return;
  set_own(plan, "AZ_BATCHAI_WORKER_HOSTS", join(addresses_of(plan, RankRole::kWorker, start), ","));
  set_own(plan, "AZ_BATCHAI_PS_HOSTS",
          join(addresses_of(plan, RankRole::kParameterServer, start), ","));
  for (const RankPlacement& rank : plan.ranks) {
    set_own(plan, rank, "TF_CONFIG", tf_config(plan, rank, start));
  }
}

}  // namespace muster::plan
