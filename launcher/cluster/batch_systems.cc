// PBS and LSF: they list hosts, one line or word for each slot; which of them this is says its
// name.
#include <algorithm>
#include <set>

#include "base/text.h"
#include "launcher/cluster/schedulers.h"

namespace muster::cluster {
namespace {

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> found;
  std::size_t from = 0;
  while ((from = text.find_first_not_of(" \t\r\n", from)) != std::string::npos) {
    const std::size_t end = std::min(text.find_first_of(" \t\r\n", from), text.size());
    found.push_back(text.substr(from, end - from));
    from = end;
  }
  return found;
}

std::vector<std::string> each_once(const std::vector<std::string>& hosts) {
  std::set<std::string> seen;
  std::vector<std::string> once;
  for (const std::string& host : hosts) {
    if (seen.insert(host).second) once.push_back(host);
  }
  return once;
}

std::optional<SchedulerWord> word_of(const std::vector<std::string>& hosts,
                                     const std::string& origin, const Surroundings& around,
                                     const char* job) {
  if (hosts.empty()) return std::nullopt;
  SchedulerWord word;
  word.node_count = {static_cast<int>(hosts.size()), origin};
  word.head_address = {hosts.front(), origin};
  if (const auto own = place_of_host(hosts, around.hostname)) {
    word.node_rank = {*own, origin};
  } else {
    word.hint = origin + " does not name this node, " + without_controls(around.hostname) +
                ": give --node-rank";
  }
  if (const auto id = variable(around, job)) word.job_id = {*id, job};
  return word;
}

}  // namespace

Result<std::optional<SchedulerWord>> look_at_pbs(const Surroundings& around) {
  if (!variable(around, "PBS_NODEFILE")) return std::optional<SchedulerWord>();
  return word_of(each_once(words(around.node_file)), "PBS_NODEFILE", around, "PBS_JOBID");
}

Result<std::optional<SchedulerWord>> look_at_lsf(const Surroundings& around) {
  // "hostA 4 hostB 4"; LSB_HOSTS has a word for each slot, and is left out when it gets long.
  if (const auto counted_hosts = variable(around, "LSB_MCPU_HOSTS")) {
    const std::vector<std::string> found = words(*counted_hosts);
    std::vector<std::string> hosts;
    for (std::size_t i = 0; i < found.size(); i += 2) {
      if (i + 1 >= found.size() || !parse_integer(found[i + 1])) {
        return senseless("LSB_MCPU_HOSTS", *counted_hosts, "which is no list of hosts and slots");
      }
      hosts.push_back(found[i]);
    }
    return word_of(each_once(hosts), "LSB_MCPU_HOSTS", around, "LSB_JOBID");
  }
  if (const auto list = variable(around, "LSB_HOSTS")) {
    return word_of(each_once(words(*list)), "LSB_HOSTS", around, "LSB_JOBID");
  }
  return std::optional<SchedulerWord>();
}

}  // namespace muster::cluster
