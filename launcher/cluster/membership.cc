#include "launcher/cluster/membership.h"

#include <algorithm>

#include "base/text.h"

namespace muster::cluster {
namespace {

using Environment = std::map<std::string, std::string>;

std::optional<std::string> variable(const Environment& environment, const std::string& name) {
  const auto found = environment.find(name);
  if (found == environment.end() || found->second.empty()) return std::nullopt;
  return found->second;
}

Result<std::optional<Told<int>>> number(const Environment& environment, const std::string& name) {
  const auto text = variable(environment, name);
  if (!text) return std::optional<Told<int>>();
  const auto value = parse_integer(*text);
  if (!value || *value < 0 || *value > 1'000'000) {
    return fail(ErrorCode::kUsage,
                name + " is `" + without_controls(*text) + "`, which is no count",
                "a scheduler sets it; unset it, or give --nodes, --node-rank and --rendezvous");
  }
  return std::optional(Told<int>{static_cast<int>(*value), name});
}

// The first name of a Slurm list: "gpu[003-007,9],cpu1" → "gpu003".
std::string first_of_slurm_list(const std::string& list) {
  const std::size_t bracket = list.find('[');
  const std::size_t comma = list.find(',');
  if (bracket == std::string::npos || comma < bracket) return list.substr(0, comma);
  const std::size_t end = list.find_first_of(",-]", bracket);
  const std::size_t closing = list.find(']', bracket);
  if (end == std::string::npos || closing == std::string::npos) return "";
  std::string name = list.substr(0, bracket) + list.substr(bracket + 1, end - bracket - 1);
  const std::size_t after = list.find_first_of(",[", closing);
  return name + list.substr(closing + 1, after == std::string::npos ? after : after - closing - 1);
}

// A step of one launcher on each node: `srun --ntasks-per-node=1 muster run …`.
Result<> look_at_slurm(const Environment& environment, Membership& found) {
  MUSTER_TRY_ASSIGN(const auto nodes, number(environment, "SLURM_STEP_NUM_NODES"));
  MUSTER_TRY_ASSIGN(const auto rank, number(environment, "SLURM_NODEID"));
  const auto list = variable(environment, "SLURM_STEP_NODELIST");
  if (!nodes || !rank || !list || nodes->value < 2) return {};
  MUSTER_TRY_ASSIGN(const auto tasks, number(environment, "SLURM_STEP_NUM_TASKS"));
  if (tasks && tasks->value != nodes->value) {
    return fail(ErrorCode::kUsage,
                "Slurm starts " + std::to_string(tasks->value) +
                    " launchers (SLURM_STEP_NUM_TASKS) on " + std::to_string(nodes->value) +
                    " nodes (SLURM_STEP_NUM_NODES)",
                "one launcher a node: srun --ntasks-per-node=1 muster run …");
  }
  found.scheduler = "Slurm";
  found.node_count = *nodes;
  found.node_rank = *rank;
  found.head_address = {first_of_slurm_list(*list), "SLURM_STEP_NODELIST"};
  if (const auto job = variable(environment, "SLURM_JOB_ID")) {
    const std::string step = variable(environment, "SLURM_STEP_ID").value_or("");
    const std::string restart = variable(environment, "SLURM_RESTART_COUNT").value_or("0");
    found.job_id = {*job + "." + step + "." + restart, "SLURM_JOB_ID"};
    // Several jobs may share a node.
    const auto id = parse_integer(*job).value_or(0);
    found.port = {20000 + static_cast<int>(id % 20000), "SLURM_JOB_ID"};
  }
  return {};
}

Result<> take_rendezvous(const std::string& text, Membership& found) {
  const std::string origin = "--rendezvous";
  if (text.starts_with("file:")) {
    found.address_file = Told<std::string>{text.substr(5), origin};
    found.head_address = {};
    found.port = {0, origin};
    if (found.address_file->value.empty()) {
      return fail(ErrorCode::kUsage, "--rendezvous file: names no file",
                  "name one that all nodes see: --rendezvous file:/shared/run1.address");
    }
    return {};
  }
  std::string host = text;
  found.port = {kDefaultPort, "default"};
  const std::size_t colon = text.rfind(':');
  const bool bare_ipv6 = std::count(text.begin(), text.end(), ':') > 1 && !text.ends_with(']') &&
                         text.find("]:") == std::string::npos;
  if (colon != std::string::npos && !bare_ipv6 && !text.ends_with(']')) {
    const auto port = parse_integer(text.substr(colon + 1));
    if (!port || *port < 1 || *port > 65535) {
      return fail(ErrorCode::kUsage, "--rendezvous " + without_controls(text) + ": no port",
                  "write HOST:PORT with a port from 1 to 65535, or HOST alone for " +
                      std::to_string(kDefaultPort));
    }
    found.port = {static_cast<int>(*port), origin};
    host = text.substr(0, colon);
  }
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty()) {
    return fail(ErrorCode::kUsage, "--rendezvous " + without_controls(text) + " names no host",
                "write the name or address of node rank 0, as the other nodes know it");
  }
  found.address_file.reset();
  found.head_address = {host, origin};
  return {};
}

}  // namespace

Result<Membership> membership_of(const MembershipFlags& flags, const Environment& environment,
                                 const std::string& /*hostname*/) {
  Membership found;
  MUSTER_TRY(look_at_slurm(environment, found));
  if (flags.nodes) found.node_count = {*flags.nodes, flags.nodes_origin};
  if (flags.node_rank) found.node_rank = {*flags.node_rank, "--node-rank"};
  if (flags.rendezvous) {
    MUSTER_TRY(take_rendezvous(*flags.rendezvous, found));
    if (found.scheduler.empty()) found.scheduler = "--rendezvous";
  }
  if (found.node_count.value <= 1) return Membership{};
  if (found.head_address.value.empty() && !found.address_file) {
    return fail(ErrorCode::kUsage,
                "a run of " + std::to_string(found.node_count.value) + " nodes (" +
                    found.node_count.origin + "), and nothing says where they meet",
                "give --rendezvous HOST:PORT (of node rank 0) and --node-rank on every node, or "
                "start under a scheduler (docs/cluster.md); --one-node puts all ranks on this one");
  }
  if (!flags.node_rank && found.node_rank.origin == "one node") {
    return fail(
        ErrorCode::kUsage,
        "a run of " + std::to_string(found.node_count.value) +
            " nodes, and nothing says which of them this is",
        "give --node-rank, from 0 (the head) to " + std::to_string(found.node_count.value - 1));
  }
  if (found.node_rank.value < 0 || found.node_rank.value >= found.node_count.value) {
    return fail(ErrorCode::kUsage,
                "node rank " + std::to_string(found.node_rank.value) + " (" +
                    found.node_rank.origin + ") of " + std::to_string(found.node_count.value) +
                    " nodes (" + found.node_count.origin + ")",
                "node ranks go from 0 to " + std::to_string(found.node_count.value - 1));
  }
  if (found.port.value == 0 && !found.address_file) found.port = {kDefaultPort, "default"};
  return found;
}

}  // namespace muster::cluster
