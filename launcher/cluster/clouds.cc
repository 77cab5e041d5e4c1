// Services that start one container on each machine: SageMaker, Vertex AI, AWS Batch, Azure Batch.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.h"
#include "launcher/cluster/schedulers.h"

namespace muster::cluster {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLongestText = 4U << 20;

std::optional<Json> json_of(const std::string& text) {
  if (text.size() > kLongestText) return std::nullopt;
  Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return std::nullopt;
  return json;
}

std::optional<std::vector<std::string>> texts_of(const Json& json) {
  if (!json.is_array() || json.empty()) return std::nullopt;
  std::vector<std::string> texts;
  for (const Json& each : json) {
    if (!each.is_string() || each.get_ref<const std::string&>().empty()) return std::nullopt;
    texts.push_back(each.get<std::string>());
  }
  return texts;
}

// "host:2222" → "host".
std::string without_port(const std::string& text) {
  return text.substr(0, text.rfind(':'));
}

void take_hosts(const std::vector<std::string>& hosts, const std::string& origin,
                SchedulerWord& word) {
  word.node_count = {static_cast<int>(hosts.size()), origin};
  word.head_address = {hosts.front(), origin};
}

std::vector<std::string> parts(const std::string& text, char separator) {
  std::vector<std::string> found;
  std::size_t from = 0;
  while (from <= text.size()) {
    const std::size_t end = std::min(text.find(separator, from), text.size());
    if (end > from) found.push_back(text.substr(from, end - from));
    from = end + 1;
  }
  return found;
}

}  // namespace

Result<std::optional<SchedulerWord>> look_at_sagemaker(const Surroundings& around) {
  const auto list = variable(around, "SM_HOSTS");
  const auto own = variable(around, "SM_CURRENT_HOST");
  if (!list || !own) return std::optional<SchedulerWord>();
  const auto json = json_of(*list);
  const auto hosts = json ? texts_of(*json) : std::nullopt;
  if (!hosts) return senseless("SM_HOSTS", *list, "which is no JSON list of names");
  SchedulerWord word;
  take_hosts(*hosts, "SM_HOSTS", word);
  const auto at = std::find(hosts->begin(), hosts->end(), *own);
  if (at == hosts->end()) {
    return senseless("SM_CURRENT_HOST", *own, "which SM_HOSTS does not name");
  }
  word.node_rank = {static_cast<int>(at - hosts->begin()), "SM_CURRENT_HOST"};
  if (const auto job = variable(around, "TRAINING_JOB_NAME")) {
    word.job_id = {*job, "TRAINING_JOB_NAME"};
  }
  return std::optional(std::move(word));
}

// The first pool has one machine, the head; what other pools but these are for is not training.
Result<std::optional<SchedulerWord>> look_at_vertex(const Surroundings& around) {
  const char* const kName = "CLUSTER_SPEC";
  const auto text = variable(around, kName);
  if (!text) return std::optional<SchedulerWord>();
  const auto json = json_of(*text);
  const auto nothing = [&](const std::string& why) { return senseless(kName, *text, why); };
  if (!json || !json->is_object() || !json->contains("cluster") || !json->contains("task")) {
    return nothing("which does not have `cluster` and `task`");
  }
  const Json& task = (*json)["task"];
  if (!task.is_object() || !task.contains("type") || !task["type"].is_string() ||
      !task.contains("index") || !task["index"].is_number_unsigned()) {
    return nothing("whose `task` does not have `type` and `index`");
  }
  SchedulerWord word;
  std::vector<std::string> hosts;
  for (const char* pool : {"workerpool0", "workerpool1"}) {
    if (!(*json)["cluster"].is_object() || !(*json)["cluster"].contains(pool)) continue;
    const auto names = texts_of((*json)["cluster"][pool]);
    if (!names) return nothing(std::string("whose ") + pool + " is no list of machines");
    if (task["type"] == pool) {
      const auto index = task["index"].get<std::uint64_t>();
      if (index >= names->size()) return nothing("whose task is beyond the last machine");
      word.node_rank = {static_cast<int>(hosts.size() + index), kName};
    }
    hosts.insert(hosts.end(), names->begin(), names->end());
  }
  if (hosts.empty()) return nothing("which names no machines");
  if (!word.node_rank) return nothing("whose task is of neither workerpool0 nor workerpool1");
  for (std::string& host : hosts) host = without_port(host);
  take_hosts(hosts, kName, word);
  if (const auto job = variable(around, "CLOUD_ML_JOB_ID")) word.job_id = {*job, "CLOUD_ML_JOB_ID"};
  return std::optional(std::move(word));
}

// The main node may be any; it is the head, and those before it move up by one.
Result<std::optional<SchedulerWord>> look_at_aws_batch(const Surroundings& around) {
  SchedulerWord word;
  const char* const kIndex = "AWS_BATCH_JOB_NODE_INDEX";
  const char* const kMain = "AWS_BATCH_JOB_MAIN_NODE_INDEX";
  const char* const kAddress = "AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS";
  MUSTER_TRY_ASSIGN(word.node_count, number(around, "AWS_BATCH_JOB_NUM_NODES"));
  MUSTER_TRY_ASSIGN(const auto index, number(around, kIndex));
  if (!word.node_count || !index) return std::optional<SchedulerWord>();
  MUSTER_TRY_ASSIGN(const auto told, number(around, kMain));
  const int main = told ? told->value : 0;
  const int rank = index->value == main ? 0 : index->value + (index->value < main ? 1 : 0);
  word.node_rank = {rank, kIndex};
  if (const auto address = variable(around, kAddress)) {
    word.head_address = {*address, kAddress};
  } else if (rank == 0) {  // the main node is not told its own
    word.head_address = {around.hostname, kMain};
  }
  if (const auto job = variable(around, "AWS_BATCH_JOB_ID")) {
    const std::string attempt = variable(around, "AWS_BATCH_JOB_ATTEMPT").value_or("1");
    word.job_id = {job->substr(0, job->find('#')) + "." + attempt, "AWS_BATCH_JOB_ID"};
  }
  return std::optional(std::move(word));
}

// A multi-instance task, and Batch AI and Azure ML, which run on it.  The list of addresses is the
// same on all nodes, but its first is not always the primary.
Result<std::optional<SchedulerWord>> look_at_azure_batch(const Surroundings& around) {
  const auto first_of = [&](std::initializer_list<const char*> names) {
    for (const char* name : names) {
      if (auto value = variable(around, name))
        return std::optional(Told<std::string>{*value, name});
    }
    return std::optional<Told<std::string>>();
  };
  const auto list = first_of({"AZ_BATCH_NODE_LIST", "AZ_BATCH_HOST_LIST"});
  const auto master = first_of(
      {"AZ_BATCH_MASTER_NODE", "AZ_BATCHAI_MPI_MASTER_NODE", "AZ_BATCHAI_JOB_MASTER_NODE_IP"});
  if (!list || !master) return std::optional<SchedulerWord>();
  const char separator = list->value.find(';') != std::string::npos ? ';' : ',';
  const std::vector<std::string> hosts = parts(list->value, separator);
  if (hosts.empty() || hosts.size() > 1'000'000) {
    return senseless(list->origin, list->value, "which names no nodes");
  }
  const std::string head = master->value.substr(0, master->value.find(':'));
  const auto own = std::find_if(hosts.begin(), hosts.end(), [&](const std::string& host) {
    return host == around.hostname || std::find(around.addresses.begin(), around.addresses.end(),
                                                host) != around.addresses.end();
  });
  const auto main = std::find(hosts.begin(), hosts.end(), head);
  if (main == hosts.end()) {
    return senseless(master->origin, master->value, "which " + list->origin + " does not name");
  }
  SchedulerWord word;
  word.node_count = {static_cast<int>(hosts.size()), list->origin};
  word.head_address = {head, master->origin};
  if (own != hosts.end()) {
    const auto place = own - hosts.begin();
    const int rank = own == main ? 0 : static_cast<int>(place + (own < main ? 1 : 0));
    word.node_rank = {rank, list->origin};
    const auto primary = variable(around, "AZ_BATCH_IS_CURRENT_NODE_MASTER");
    if (primary && (*primary == "true") != (rank == 0)) {
      return fail(ErrorCode::kUsage,
                  "AZ_BATCH_IS_CURRENT_NODE_MASTER is " + without_controls(*primary) + ", and by " +
                      list->origin + " and " + master->origin + " this is node rank " +
                      std::to_string(rank),
                  "give --node-rank and --rendezvous on every node");
    }
  } else {
    word.hint = "none of this node's addresses is in " + list->origin + ": give --node-rank";
  }
  if (const auto job = variable(around, "AZ_BATCH_JOB_ID")) {
    const std::string task = variable(around, "AZ_BATCH_TASK_ID").value_or("");
    word.job_id = {*job + "." + task, "AZ_BATCH_JOB_ID"};
  }
  return std::optional(std::move(word));
}

}  // namespace muster::cluster
