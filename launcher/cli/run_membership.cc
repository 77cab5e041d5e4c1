#include "launcher/cli/run_membership.h"

#include <climits>
#include <unistd.h>

#include "base/text.h"

namespace muster::cli {

Result<cluster::Membership> run_membership(const CommandLine& line, const config::RunConfig& config,
                                           const std::map<std::string, std::string>& environment) {
  const config::Setting<int>& asked = config.node_count;
  if (asked.value <= 1 || line.has("one-node")) {
    if (line.has("node-rank") && line.text("node-rank") != "0" && !line.has("one-node")) {
      return fail(ErrorCode::kUsage, line.as_given("node-rank") + ": a run has one node",
                  "leave it out, or write 0: the first node is number 0");
    }
    return cluster::Membership{};
  }
  cluster::MembershipFlags flags;
  flags.nodes = asked.value;
  flags.nodes_origin = asked.origin.text;
  if (const auto rank = line.text("node-rank")) {
    flags.node_rank = static_cast<int>(parse_integer(*rank).value_or(-1));
  }
  flags.rendezvous = line.text("rendezvous");
  std::string hostname(HOST_NAME_MAX + 1, '\0');
  if (::gethostname(hostname.data(), hostname.size()) != 0) hostname.clear();
  hostname.resize(std::min(hostname.find('\0'), hostname.size()));
  // What the environment says alone must be what the config asks for.
  if (!flags.rendezvous) {
    cluster::MembershipFlags none;
    none.node_rank = flags.node_rank;
    const auto told = cluster::membership_of(none, environment, hostname);
    if (told && told->several() && told->node_count.value != asked.value) {
      return fail(ErrorCode::kUsage,
                  "node_count is " + std::to_string(asked.value) + " (" + asked.origin.text +
                      "), and " + told->scheduler + " started this on " +
                      std::to_string(told->node_count.value) + " nodes (" +
                      told->node_count.origin + ")",
                  "make them the same");
    }
  }
  auto membership = cluster::membership_of(flags, environment, hostname);
  if (!membership && !membership.error().location) {
    membership.error().location = asked.origin.location;
  }
  return membership;
}

}  // namespace muster::cli
