#include "launcher/cluster/facts.h"

#include <algorithm>
#include <set>

#include "base/exit_code.h"
#include "base/text.h"
#include "base/text_table.h"

namespace muster::cluster {
namespace {

constexpr const char* kSoftware = "Muster";
constexpr const char* kHostname = "hostname";

enum class Rule {
  kSame,     // fatal where it differs
  kRelease,  // fatal where it differs before the second dot: "4.1.4" and "4.1.6" only warn
  kWarn,
};

struct FactRule {
  std::string_view name;
  Rule rule;
  ExitCode exit_code;
  std::string_view hint;
};

constexpr FactRule kRules[] = {
    {kSoftware, Rule::kSame, ExitCode::kResources, "install the same Muster on all nodes"},
    {kConfigFact, Rule::kSame, ExitCode::kConfig,
     "start all nodes with the same config, options and --set values"},
    {kSourceFact, Rule::kSame, ExitCode::kConfig,
     "bring source_directory to the same state everywhere, or remove it on all nodes but the "
     "first, which then sends it"},
    {kInterpreterFact, Rule::kRelease, ExitCode::kResources,
     "use the same Python on all nodes: environment.python.interpreter, or an environment of the "
     "run's own"},
    {kMpiFact, Rule::kRelease, ExitCode::kResources, "install the same Open MPI on all nodes"},
    {kNcclFact, Rule::kWarn, ExitCode::kResources, ""},
    {kCpuFact, Rule::kWarn, ExitCode::kResources, ""},
    {kGpuFact, Rule::kWarn, ExitCode::kResources, ""},
};

constexpr FactRule kAnyOther{"", Rule::kWarn, ExitCode::kResources, ""};

const FactRule& rule_of(std::string_view name) {
  const auto found = std::find_if(std::begin(kRules), std::end(kRules),
                                  [&](const FactRule& rule) { return rule.name == name; });
  return found == std::end(kRules) ? kAnyOther : *found;
}

// "Python 3.11" of "Python 3.11.2".
std::string release_of(const std::string& version) {
  const std::size_t dot = version.find('.');
  return dot == version.npos ? version : version.substr(0, version.find('.', dot + 1));
}

std::string shown(const std::string& value) {
  return value.empty() ? "none" : without_controls(value);
}

class Comparison {
 public:
  explicit Comparison(const std::vector<const protocol::Join*>& joins) : joins_(joins) {
    for (const auto* join : joins_) ++hostnames_[join->hostname()];
  }

  FactTable made() {
    for (const auto& [name, values] : values_of_facts()) compare(name, values);
    compare_hostnames();
    if (rows_ > 0) {
      table_.text = "the nodes differ:\n" + differences_.to_string("  ");
      for (const std::string& hint : hints_) table_.text += "  hint: " + hint + "\n";
    }
    return std::move(table_);
  }

 private:
  using Values = std::vector<std::string>;  // by node rank

  // In the order in which nodes have them; Muster's own version first.
  std::vector<std::pair<std::string, Values>> values_of_facts() const {
    std::vector<std::pair<std::string, Values>> all{{kSoftware, Values(joins_.size())}};
    std::map<std::string, std::size_t> places;
    for (std::size_t node = 0; node < joins_.size(); ++node) {
      all.front().second[node] = joins_[node]->software();
      for (const protocol::Fact& fact : joins_[node]->facts()) {
        const auto [place, is_new] = places.emplace(fact.name(), all.size());
        if (is_new) all.emplace_back(fact.name(), Values(joins_.size()));
        all[place->second].second[node] = fact.value();
      }
    }
    return all;
  }

  // "node-a and 3 others"; equal hostnames with their ranks.
  std::string names_of(const std::vector<int>& nodes) const {
    const std::string& hostname = joins_[static_cast<std::size_t>(nodes.front())]->hostname();
    std::string text = without_controls(hostname);
    if (hostnames_.at(hostname) > 1) text += " (node rank " + std::to_string(nodes.front()) + ")";
    const auto more = static_cast<std::int64_t>(nodes.size()) - 1;
    return more == 0 ? text : text + " and " + counted(more, "other");
  }

  void compare(const std::string& name, const Values& values) {
    const FactRule& rule = rule_of(name);
    std::map<std::string, std::vector<int>> nodes_of;
    for (std::size_t node = 0; node < values.size(); ++node) {
      // A node without the source gets the head's.
      if (name == kSourceFact && values[node].empty()) continue;
      nodes_of[values[node]].push_back(static_cast<int>(node));
    }
    if (nodes_of.size() < 2) return;
    bool fatal = false;
    for (std::size_t node = 1; node < values.size(); ++node) {
      if (name == kSourceFact && values[node].empty()) continue;
      const bool same = rule.rule == Rule::kRelease
                            ? release_of(values[node]) == release_of(values.front())
                            : values[node] == values.front();
      if (same || rule.rule == Rule::kWarn) continue;
      fatal = true;
      refuse(static_cast<int>(node), name + " is " + shown(values[node]) + " here, and " +
                                         shown(values.front()) + " on " + names_of({0}));
    }
    for (const auto& [value, nodes] : nodes_of) add_row(name, shown(value), nodes, fatal);
    if (fatal) fail_with(rule.exit_code, std::string(rule.hint));
  }

  // Open MPI takes nodes of one name for one machine, and its ranks for neighbours in memory.
  void compare_hostnames() {
    bool mpi = false;
    std::map<std::string, std::set<std::string>> hosts;
    std::map<std::string, std::vector<int>> nodes_of;
    for (std::size_t node = 0; node < joins_.size(); ++node) {
      const protocol::Join& join = *joins_[node];
      for (const protocol::Fact& fact : join.facts()) mpi = mpi || fact.name() == kMpiFact;
      if (hosts[join.hostname()].insert(host_of(join)).second) {
        nodes_of[join.hostname()].push_back(static_cast<int>(node));
      }
    }
    bool any = false;
    for (const auto& [hostname, nodes] : nodes_of) {
      if (nodes.size() < 2) continue;
      any = true;
      add_row(kHostname, shown(hostname), nodes, mpi);
      for (const int node : nodes) {
        if (mpi && node > 0) {
          refuse(node, "its host name is " + shown(hostname) + ", as that of another node");
        }
      }
    }
    if (!any) return;
    const std::string hint =
        "give each node a host name of its own (hostname, or a UTS namespace: docker run "
        "--hostname, unshare --uts): Open MPI takes nodes of one name for one machine and crashes";
    if (mpi) {
      fail_with(ExitCode::kResources, hint);
    } else {
      hints_.push_back(hint);
    }
  }

  void add_row(const std::string& name, const std::string& value, const std::vector<int>& nodes,
               bool fatal) {
    ++rows_;
    differences_.add_row(
        {without_controls(name), value, names_of(nodes), fatal ? "fatal" : "warning"});
  }

  void refuse(int node, const std::string& why) {
    std::string& text = table_.refusals[node];
    text += (text.empty() ? "" : "; ") + why;
  }

  // What differs first names the code.
  void fail_with(ExitCode code, std::string hint) {
    if (!table_.fatal) table_.exit_code = to_int(code);
    table_.fatal = true;
    hints_.push_back(std::move(hint));
  }

  const std::vector<const protocol::Join*>& joins_;
  std::map<std::string, int> hostnames_;
  FactTable table_;
  TextTable differences_{{{"what"}, {"value"}, {"nodes"}, {""}}};
  int rows_ = 0;
  std::vector<std::string> hints_;
};

}  // namespace

FactTable compare_facts(const std::vector<const protocol::Join*>& joins) {
  return Comparison(joins).made();
}

std::string host_of(const protocol::Join& join) {
  std::string host = join.boot_id();
  for (const auto& each : join.addresses()) {
    host += "\n" + each.interface() + " " + std::to_string(each.index()) + " " + each.address();
  }
  return host;
}

}  // namespace muster::cluster
