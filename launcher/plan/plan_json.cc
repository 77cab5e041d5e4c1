#include "launcher/plan/plan_json.h"

#include <cmath>

#include <nlohmann/json.hpp>

#include "launcher/plan/placement_words.h"
#include "launcher/plan/planned_ports.h"
#include "launcher/plan/tensorflow_roles.h"

namespace muster::plan {
namespace {

using Json = nlohmann::ordered_json;

Json index_json(int index) {
  return index == topology::kUnknown ? Json(nullptr) : Json(index);
}

// Four places: what more a sum of doubles has is noise, such as 0.8500000000000003.
double rounded(double value) {
  return std::round(value * 1e4) / 1e4;
}

// The letters are those of docs/placement.md.
Json score_json(const PlacementScore& score) {
  return {{"total", rounded(score.total)},
          {"locality", rounded(score.locality)},
          {"exclusive", rounded(score.exclusive)},
          {"balance", rounded(score.balance)},
          {"use", rounded(score.use)},
          {"coverage", rounded(score.coverage)},
          {"memory", rounded(score.memory)},
          {"siblings", rounded(score.siblings)},
          {"rail", rounded(score.rail)},
          {"order", rounded(score.order)}};
}

Json nodes_json(const LaunchPlan& plan) {
  Json nodes = Json::array();
  for (const NodePlan& node : plan.nodes) {
    Json candidates = Json::array();
    for (const LayoutCandidate& candidate : node.candidates) {
      candidates.push_back({{"name", candidate.name}, {"score", score_json(candidate.score)}});
    }
    nodes.push_back(
        {{"node_rank", node.node_rank},
         {"hostname", node.hostname},
         {"layout", node.layout.empty() ? Json(nullptr) : Json(node.layout)},
         {"score", node.score == PlacementScore{} ? Json(nullptr) : score_json(node.score)},
         {"candidates", candidates},
         {"idle_gpus", node.idle_gpus},
         {"visible_devices", node.visible_devices}});
  }
  return nodes;
}

// How the nodes meet.
Json network_json(const LaunchPlan& plan) {
  Json nodes = Json::array();
  for (const NodePlan& node : plan.nodes) {
    nodes.push_back({{"node_rank", node.node_rank},
                     {"address", node.address},
                     {"interface", node.interface},
                     {"first_rank", node.first_rank},
                     {"rank_count", node.rank_count}});
  }
  Json ports = Json::array();
  for (const PlannedPort& port : planned_ports(plan)) {
    ports.push_back(
        {{"who", port.who}, {"port", port.port}, {"where", port.where}, {"why", port.why}});
  }
  return {{"node_count", plan.node_count},
          {"master_address", plan.network.master_address},
          {"ipv6", plan.network.ipv6},
          {"cidrs", plan.network.cidrs},
          {"nodes", nodes},
          {"ports", ports}};
}

Json rank_json(const RankPlacement& rank) {
  Json gpus = Json::array();
  for (const topology::Gpu& gpu : rank.gpus) {
    gpus.push_back({{"index", gpu.visible_ordinal},
                    {"bus_id", gpu.bus_id},
                    {"uuid", gpu.uuid},
                    {"numa_node", index_json(gpu.numa_node)},
                    {"model", gpu.model}});
  }
  Json numa_nodes = Json::array();
  for (const int node : rank.numa_nodes) numa_nodes.push_back(index_json(node));
  Json json = {{"rank", rank.rank},
               {"local_rank", rank.local_rank},
               {"node_rank", rank.node_rank},
               {"bound", rank.bound},
               {"core_count", rank.core_count},
               {"cores", CpuSet::from_vector(rank.cores).to_string()},
               {"cpuset", rank.cpuset.to_string()},
               {"numa_nodes", numa_nodes},
               {"memory_nodes", CpuSet::from_vector(rank.memory_nodes).to_string()},
               {"memory_policy", rank.memory_nodes.empty() ? "none" : to_word(rank.memory_policy)},
               {"gpus", gpus},
               {"shares_gpus", rank.shares_gpus},
               {"nics", rank.nics},
               {"locality", rank.gpus.empty() ? Json(nullptr) : Json(rounded(rank.locality))},
               {"why", rank.why}};
  if (rank.role != RankRole::kAlike) {
    json["role"] = to_string(rank.role);
    json["role_index"] = rank.role_index;
  }
  return json;
}

Json ranks_json(const LaunchPlan& plan) {
  Json ranks = Json::array();
  for (const RankPlacement& rank : plan.ranks) ranks.push_back(rank_json(rank));
  return ranks;
}

// {name: value}; a second object of the same shape holds the origins.
Json values_json(const std::vector<EnvironmentVariable>& variables) {
  Json json = Json::object();
  for (const EnvironmentVariable& variable : variables) json[variable.name] = variable.value;
  return json;
}

Json origins_json(const LaunchPlan& plan) {
  Json json = Json::object();
  for (const EnvironmentVariable& variable : plan.common_environment) {
    json[variable.name] = variable.origin;
  }
  for (const auto& variables : plan.rank_environment) {
    for (const EnvironmentVariable& variable : variables) json[variable.name] = variable.origin;
  }
  return json;
}

Json environment_json(const LaunchPlan& plan) {
  Json per_rank = Json::array();
  for (const auto& variables : plan.rank_environment) per_rank.push_back(values_json(variables));
  return {{"common", values_json(plan.common_environment)},
          {"per_rank", per_rank},
          {"origins", origins_json(plan)},
          {"dropped_from_ranks", plan.dropped_from_ranks},
          {"dropped_from_mpirun", plan.dropped_from_mpirun}};
}

Json mpirun_json(const LaunchPlan& plan) {
  if (!plan.mpirun) return nullptr;
  Json words = Json::array();
  for (const MpirunWords& group : plan.mpirun->words) {
    words.push_back({{"words", group.words}, {"why", group.why}});
  }
  Json json = {{"executable", plan.mpirun->executable},
               {"version", plan.mpirun->version},
               {"words", words},
               {"environment", values_json(plan.mpirun->environment)},
               {"rankfile", plan.mpirun->binds() ? Json(plan.mpirun->rankfile) : Json(nullptr)}};
  if (!plan.mpirun->hostfile.empty()) json["hostfile"] = plan.mpirun->hostfile;
  return json;
}

Json limits_json(const config::Limits& limits) {
  const auto& duration = limits.max_run_duration.value;
  const auto& budget = limits.stop_budget.value;
  return {{"max_run_duration_seconds", duration ? Json(duration->count()) : Json(nullptr)},
          {"join_timeout_ms", limits.join_timeout.value.count()},
          {"stop_grace_period_ms", limits.stop_grace_period.value.count()},
          {"failure_grace_period_ms", limits.failure_grace_period.value.count()},
          {"drain_timeout_ms", limits.drain_timeout.value.count()},
          {"stop_budget_ms", budget ? Json(budget->count()) : Json(nullptr)}};
}

Json streams_json(const config::Streams& streams) {
  const auto& bound = streams.max_size.value;
  return {
      {"collector", streams.collector.value ? Json(*streams.collector.value) : Json(nullptr)},
      {"max_size", bound ? Json(*bound) : Json(nullptr)},
      {"when_full", streams.when_full.value == config::WhenFull::kBlock ? "block" : "drop_oldest"},
      {"stall_budget_ms", streams.stall_budget.value.count()}};
}

Json data_item_json(const DataItem& item) {
  Json helpers = Json::array();
  for (const HelperCommand& helper : item.helpers) helpers.push_back(helper.argv);
  Json json = {{"name", item.name},
               {"direction", item.is_output ? "output" : "input"},
               {"mode", to_string(item.mode)},
               {"means", to_string(item.means)},
               {"written", item.written},
               {"location", item.place ? Json(item.place->location) : Json(nullptr)},
               {"datastore", item.place ? Json(item.place->datastore) : Json(nullptr)},
               {"type", item.type == config::DataType::kFile ? "file" : "folder"},
               {"read_only", item.read_only},
               {"value", item.value},
               {"mount_point", item.mount_point},
               {"link_target", item.link_target},
               {"path_on_compute", item.path_on_compute},
               {"variables", item.variables},
               {"commands", helpers},
               {"unmount", item.unmount},
               {"bytes", item.bytes ? Json(*item.bytes) : Json(nullptr)},
               {"origin", item.origin.text},
               {"why", item.why}};
  return json;
}

Json data_json(const LaunchPlan& plan) {
  Json items = Json::array();
  for (const DataItem& item : plan.data.items) items.push_back(data_item_json(item));
  return items;
}

Json reasons_json(const LaunchPlan& plan) {
  Json reasons = Json::array();
  for (const Reason& reason : plan.reasons) {
    reasons.push_back({{"subject", reason.subject}, {"value", reason.value}, {"why", reason.why}});
  }
  return reasons;
}

Json source_json(const LaunchPlan& plan) {
  if (!plan.source) return nullptr;
  const SourceFacts& facts = plan.source->facts;
  return {{"ignore_file", facts.ignore_file.empty() ? Json(nullptr) : Json(facts.ignore_file)},
          {"files", facts.files},
          {"bytes", facts.bytes},
          {"left_out", facts.left_out},
          {"limit_files", plan.source->limit_files},
          {"limit_bytes", plan.source->limit_bytes}};
}

// What it holds for pip may contain tokens: only what is shown goes into the file.
Json python_json(const PythonPlan& python) {
  if (!python.needed()) return nullptr;
  const bool conda = python.kind == PythonPlan::Kind::kConda;
  return {{"kind", conda ? "conda" : "venv"},
          {"key", python.key},
          {"prefix", python.prefix()},
          {"made", python.made},
          {"made_by", conda ? python.conda->executable : python.interpreter.executable},
          {"system_site_packages", !conda && python.system_site_packages},
          {"packages", python.shown_packages()},
          {"channels", python.conda_channels},
          {"origin", python.origin}};
}

Json image_json(const LaunchPlan& plan) {
  if (plan.image.empty()) return nullptr;
  return {{"asked_for", plan.image},
          {"container", plan.container_image.empty() ? Json(nullptr) : Json(plan.container_image)}};
}

// What `muster metrics` reads them from, wherever the run directory is by then.
Json metric_patterns_json(const LaunchPlan& plan) {
  Json list = Json::array();
  for (const config::MetricPattern& pattern : plan.metric_patterns) {
    if (pattern.preset.empty()) {
      list.push_back({{"name", pattern.name}, {"regex", pattern.regex}});
    } else {
      list.push_back({{"preset", pattern.preset}});
    }
  }
  return list;
}

}  // namespace

std::string plan_json(const LaunchPlan& plan) {
  Json json;
  json["distributed_backend"] = config::to_string(plan.backend);
  json["world_size"] = plan.world_size;
  json["process_count_per_node"] = plan.process_count_per_node;
  if (plan.of_several_nodes()) json["network"] = network_json(plan);
  json["asked_node_count"] = plan.asked_node_count;
  json["oversubscribed"] = plan.oversubscribed;
  json["nodes"] = nodes_json(plan);
  json["ranks"] = ranks_json(plan);
  json["argv"] = plan.argv;
  json["working_directory"] = plan.working_directory;
  json["in_place"] = plan.in_place;
  json["source_directory"] = plan.source_directory;
  json["source"] = source_json(plan);
  json["mpirun_argv"] = plan.mpirun ? plan.mpirun->argv() : std::vector<std::string>{};
  json["mpirun"] = mpirun_json(plan);
  json["environment"] = environment_json(plan);
  json["data"] = data_json(plan);
  json["python_environment"] = python_json(plan.python);
  json["image"] = image_json(plan);
  json["limits"] = limits_json(plan.limits);
  if (plan.of_several_nodes()) {
    json["limits"]["node_lost_after_ms"] = plan.limits.node_lost_after.value.count();
  }
  if (!plan.metric_patterns.empty()) json["metric_patterns"] = metric_patterns_json(plan);
  json["streams"] = streams_json(plan.streams);
  json["reasons"] = reasons_json(plan);
  json["warnings"] = plan.warnings;
  // Values of the environment may be any bytes; JSON holds text.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace muster::plan
