#include "launcher/cli/check_streams.h"

#include "base/text.h"
#include "collector/replication/address.h"

namespace muster::cli {
namespace {

using config::Origin;
using config::problem_at;
using replication::Transport;

constexpr std::int64_t kLeastBound = 1 << 20;

void check_address(const config::Streams& streams, const CommandLine& line,
                   config::Problems& problems) {
  const auto refuse = [&](const std::string& why, std::string hint) {
    problems.push_back(
        problem_at(streams.collector.origin, "streams.collector", why, std::move(hint)));
  };
  auto address = replication::parse_address(*streams.collector.value);
  if (!address) return refuse(address.error().message, std::move(address).error().hint);
  if (address->transport != Transport::kUnix && address->port == 0) {
    return refuse("port 0 is none that can be called",
                  "write the port that the collector said when it began to listen");
  }
  // A command that only translates a config has no options for it.
  if (line.command == "convert") return;
  if (address->transport == Transport::kTls && line.has("insecure")) {
    return refuse("tls: is never without a token, and --insecure is given",
                  "give the token with --token-file, or write tcp: on a network that is trusted");
  }
  if (address->transport == Transport::kUnix || line.has("token-file") || line.has("insecure")) {
    return;
  }
  const bool tls = address->transport == Transport::kTls;
  refuse(std::string(tls ? "tls:" : "tcp:") + " needs a token, and none is given",
         std::string("give its file with --token-file or MUSTER_TOKEN_FILE") +
             (tls ? "" : "; --insecure goes without, on a network that is trusted"));
}

}  // namespace

config::Problems check_streams(const config::Streams& streams, const CommandLine& line,
                               bool several_nodes) {
  config::Problems problems;
  if (streams.collector.value) check_address(streams, line, problems);
  const auto& bound = streams.max_size;
  if (bound.value && *bound.value < kLeastBound) {
    problems.push_back(problem_at(bound.origin, "streams.max_size",
                                  std::to_string(*bound.value) + " bytes are too few",
                                  "write 1m or more"));
  }
  const auto& budget = streams.stall_budget;
  if (budget.origin.kind != Origin::Kind::kDefault &&
      streams.when_full.value != config::WhenFull::kBlock) {
    problems.push_back(problem_at(budget.origin, "streams.stall_budget",
                                  "with drop_oldest nobody waits for room",
                                  "set streams.when_full to block, or leave it out"));
  }
  // A variable may be left behind in a shell; a word was meant for this run.
  const auto token = line.given.find("token-file");
  const bool typed = token != line.given.end() && token->second.back().by.starts_with('-');
  // Nodes of one run know each other by the same token.
  if (!streams.collector.value && !several_nodes && (typed || line.has("insecure"))) {
    problems.push_back(Error{ErrorCode::kUsage,
                             (typed ? line.as_given("token-file") : "--insecure") +
                                 " is for a collector, and there is none",
                             "name it with --collector or streams.collector", std::nullopt});
  }
  return problems;
}

}  // namespace muster::cli
