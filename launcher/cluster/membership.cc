#include "launcher/cluster/membership.h"

#include <algorithm>

#include "base/text.h"
#include "launcher/cluster/schedulers.h"

namespace muster::cluster {
namespace {

// Takes what `word` says and `found` lacks.  Errors: kUsage: they contradict each other.
Result<> agree(const std::string& what, const std::optional<Told<int>>& word,
               std::optional<Told<int>>& found) {
  if (!word) return {};
  if (found && found->value != word->value) {
    return fail(ErrorCode::kUsage,
                what + " is " + std::to_string(found->value) + " (" + found->origin + ") and " +
                    std::to_string(word->value) + " (" + word->origin + ")",
                "make them the same, or give --node-rank and --rendezvous, which then stand alone");
  }
  if (!found) found = word;
  return {};
}

template <typename T>
void take_first(const std::optional<T>& word, std::optional<T>& found) {
  if (!found) found = word;
}

struct AllWords {
  SchedulerWord word;
  std::string names;  // of the schedulers that said something
};

// What all schedulers say together.
Result<AllWords> ask_schedulers(const MembershipFlags& flags, const Surroundings& around) {
  AllWords all;
  if (flags.nodes) all.word.node_count = {*flags.nodes, flags.nodes_origin};
  if (flags.node_rank) all.word.node_rank = {*flags.node_rank, "--node-rank"};
  for (const Scheduler& scheduler : schedulers()) {
    MUSTER_TRY_ASSIGN(const auto word, scheduler.look(around));
    if (!word) continue;
    all.names += (all.names.empty() ? "" : ", ") + std::string(scheduler.name);
    MUSTER_TRY(agree("the count of nodes", word->node_count, all.word.node_count));
    MUSTER_TRY(agree("this node's rank", word->node_rank, all.word.node_rank));
    take_first(word->head_address, all.word.head_address);
    take_first(word->port, all.word.port);
    take_first(word->job_id, all.word.job_id);
    take_first(word->time_left, all.word.time_left);
    if (all.word.hint.empty()) all.word.hint = word->hint;
  }
  return all;
}

// Whose word is not used, where the command line says all.
void note_unused(const Surroundings& around, Membership& found) {
  for (const Scheduler& scheduler : schedulers()) {
    const auto word = scheduler.look(around);
    if (!word || !*word || !(*word)->node_rank) continue;
    const Told<int>& rank = *(*word)->node_rank;
    if (rank.value == found.node_rank.value) continue;
    found.notes.push_back(std::string(scheduler.name) + " calls this node rank " +
                          std::to_string(rank.value) + " (" + rank.origin +
                          "), which is not used: --node-rank and --rendezvous are given");
  }
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

Result<> check(const Membership& found, bool rank_is_known, const std::string& hint) {
  const std::string nodes = std::to_string(found.node_count.value);
  if (found.head_address.value.empty() && !found.address_file) {
    return fail(ErrorCode::kUsage,
                "a run of " + nodes + " nodes (" + found.node_count.origin +
                    "), and nothing says where they meet",
                !hint.empty() ? hint
                              : "give --rendezvous HOST:PORT (of node rank 0) and --node-rank on "
                                "every node, or start under a scheduler (docs/cluster.md); "
                                "--one-node puts all ranks on this one");
  }
  if (!rank_is_known) {
    return fail(ErrorCode::kUsage,
                "a run of " + nodes + " nodes, and nothing says which of them this is",
                !hint.empty() ? hint
                              : "give --node-rank, from 0 (the head) to " +
                                    std::to_string(found.node_count.value - 1));
  }
  if (found.node_rank.value < 0 || found.node_rank.value >= found.node_count.value) {
    return fail(ErrorCode::kUsage,
                "node rank " + std::to_string(found.node_rank.value) + " (" +
                    found.node_rank.origin + ") of " + nodes + " nodes (" +
                    found.node_count.origin + ")",
                "node ranks go from 0 to " + std::to_string(found.node_count.value - 1));
  }
  return {};
}

}  // namespace

Result<Membership> membership_of(const MembershipFlags& flags, const Surroundings& around) {
  Membership found;
  SchedulerWord word;
  bool rank_is_known = flags.node_rank.has_value();
  if (flags.rendezvous && flags.node_rank) {
    if (flags.nodes) found.node_count = {*flags.nodes, flags.nodes_origin};
    found.node_rank = {*flags.node_rank, "--node-rank"};
    note_unused(around, found);
  } else {
    MUSTER_TRY_ASSIGN(AllWords all, ask_schedulers(flags, around));
    word = std::move(all.word);
    found.scheduler = all.names;
    rank_is_known = word.node_rank.has_value();
    if (word.node_count) found.node_count = *word.node_count;
    if (word.node_rank) found.node_rank = *word.node_rank;
    if (word.head_address) found.head_address = *word.head_address;
    if (word.port) found.port = *word.port;
    if (word.job_id) found.job_id = *word.job_id;
    found.time_left = word.time_left;
  }
  if (flags.rendezvous) {
    MUSTER_TRY(take_rendezvous(*flags.rendezvous, found));
    if (found.scheduler.empty()) found.scheduler = "--rendezvous";
  }
  if (found.node_count.value <= 1) return Membership{};
  MUSTER_TRY(check(found, rank_is_known, word.hint));
  if (found.port.value == 0 && !found.address_file) found.port = {kDefaultPort, "default"};
  return found;
}

std::string membership_text(const Membership& membership) {
  const auto said = [](const std::string& value, const std::string& origin) {
    return without_controls(value) + " (" + origin + ")";
  };
  std::string text =
      "node rank " + said(std::to_string(membership.node_rank.value), membership.node_rank.origin) +
      " of " + said(std::to_string(membership.node_count.value), membership.node_count.origin);
  if (membership.address_file) {
    text += ", head by " + said(membership.address_file->value, membership.address_file->origin);
  } else {
    text += ", head " + said(membership.head_address.value, membership.head_address.origin) +
            ", port " + said(std::to_string(membership.port.value), membership.port.origin);
  }
  if (!membership.job_id.value.empty()) {
    text += ", job " + said(membership.job_id.value, membership.job_id.origin);
  }
  if (membership.time_left) {
    text += ", ends in " +
            said(format_duration(membership.time_left->value), membership.time_left->origin);
  }
  return text;
}

}  // namespace muster::cluster
