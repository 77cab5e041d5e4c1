// How many threads the libraries of a rank start, and where OpenMP puts them.
//
// Without OMP_NUM_THREADS every rank would start as many threads as the node has cores.  Where
// threads run is left to the kernel, inside the rank's mask: with OMP_PROC_BIND set, importing
// torch narrows the main thread to one core, and all that it starts inherits that.
#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include "base/text.h"
#include "launcher/plan/environment_families.h"
#include "launcher/plan/environment_names.h"
#include "launcher/plan/thread_settings.h"

namespace muster::plan {
namespace {

using config::OmpBinding;
using config::Origin;
using config::ThreadCount;

constexpr const char* kName = "OMP_NUM_THREADS";

// Whole cores of the rank, at least 1, and no more than its part of the cgroup's CPU time.
int cores_worth(const FamilyFacts& facts, const RankPlacement& rank) {
  const auto& node = facts.node_of(rank);
  int threads = std::max(1, rank.core_count);
  if (node.cpu_quota) {
    const double part = *node.cpu_quota / facts.plan.node(rank.node_rank).rank_count;
    threads = std::min(threads, std::max(1, static_cast<int>(std::floor(part))));
  }
  return threads;
}

int thread_count(const FamilyFacts& facts, const RankPlacement& rank) {
  const ThreadCount& wanted = facts.config.resources.threads.value;
  return wanted.kind == ThreadCount::Kind::kNumber ? wanted.number : cores_worth(facts, rank);
}

std::vector<std::string> count_names(const FamilyFacts& facts) {
  if (facts.config.resources.thread_variables.value == config::ThreadVariables::kOmp) {
    return {kName};
  }
  return {kName, "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_MAX_THREADS"};
}

// Whether the config, and not a default, says so: then it also wins over what the caller's
// environment happens to have.
bool is_asked_for(const Origin& origin) {
  return origin.kind != Origin::Kind::kDefault;
}

void add_as_asked(const FamilyFacts& facts, const Origin& origin, const std::string& name,
                  const std::string& value, Variables& variables) {
  if (!is_asked_for(origin)) {
    facts.defaults.add_to(variables, name, value);
  } else if (set_by_config(facts.config, name) == nullptr) {
    add(variables, name, value, origin.text);
  }
}

// A place is a core with the hardware threads that the rank has of it: "{0,8},{1,9}".
std::string places_of(const topology::NodeInventory& node, const RankPlacement& rank) {
  std::vector<std::string> places;
  for (const topology::Core& core : node.cores) {
    const CpuSet own = core.pus.intersection(rank.cpuset);
    if (own.empty()) continue;
    std::vector<std::string> threads;
    for (const int cpu : own.to_vector()) threads.push_back(std::to_string(cpu));
    places.push_back("{" + join(threads, ",") + "}");
  }
  return join(places, ",");
}

// Names of places mean nothing without cores of one's own.
void add_places(const FamilyFacts& facts, const RankPlacement& rank, Variables& variables) {
  const auto& binding = facts.config.resources.omp_binding;
  if (binding.value == OmpBinding::kNone || !facts.all.all_bound) return;
  const char* spread = binding.value == OmpBinding::kClose ? "close" : "spread";
  add_as_asked(facts, binding.origin, "OMP_PROC_BIND", spread, variables);
  add_as_asked(facts, binding.origin, "OMP_PLACES", places_of(facts.node_of(rank), rank),
               variables);
}

std::string count_range(const FamilyFacts& facts, const LaunchPlan& plan, bool& capped) {
  int fewest = std::numeric_limits<int>::max();
  int most = 0;
  for (const RankPlacement& rank : plan.ranks) {
    const int threads = cores_worth(facts, rank);
    fewest = std::min(fewest, threads);
    most = std::max(most, threads);
    capped = capped || threads < rank.core_count;
  }
  return (fewest < most ? std::to_string(fewest) + " to " : "") + std::to_string(most);
}

std::string why_so_many(const FamilyFacts& facts, const LaunchPlan& plan, bool capped) {
  std::string why = plan.oversubscribed ? "more ranks than cores" : "whole cores of each rank";
  if (capped) {
    why = fmt::format("the cgroup grants {:.2f} CPUs of time to {}",
                      facts.inputs.nodes.front().cpu_quota.value_or(0),
                      counted(static_cast<std::int64_t>(plan.ranks.size()), "rank"));
  }
  const auto& caller = facts.inputs.caller_environment;
  const auto& threads = facts.config.resources.threads;
  if (!is_asked_for(threads.origin)) return why;
  if (const auto there = caller.find(kName); there != caller.end()) {
    return fmt::format("{}: {}; the caller's {} does not count", threads.origin.text, why,
                       there->second);
  }
  return threads.origin.text + ": " + why;
}

Reason count_reason(const FamilyFacts& facts, const LaunchPlan& plan) {
  const auto& threads = facts.config.resources.threads;
  if (const auto* setting = set_by_config(facts.config, kName)) {
    return {kName, setting->value, setting->origin.text};
  }
  const auto caller = facts.inputs.caller_environment.find(kName);
  const bool inherited = caller != facts.inputs.caller_environment.end();
  const bool kept = threads.value.kind == ThreadCount::Kind::kKeep;
  if (inherited && (kept || !is_asked_for(threads.origin))) {
    return {kName, caller->second, "the caller's environment"};
  }
  if (kept) {
    return {kName, "not set",
            threads.origin.text + ": each rank's libraries count CPUs themselves"};
  }
  if (threads.value.kind == ThreadCount::Kind::kNumber) {
    return {kName, std::to_string(threads.value.number),
            threads.origin.text +
                (inherited ? "; the caller's " + caller->second + " does not count" : "")};
  }
  bool capped = false;
  const std::string range = count_range(facts, plan, capped);
  return {kName, range, why_so_many(facts, plan, capped)};
}

}  // namespace

void add_thread_names(const FamilyFacts& facts, const RankPlacement& rank, Variables& variables) {
  const auto& threads = facts.config.resources.threads;
  if (threads.value.kind != ThreadCount::Kind::kKeep) {
    const std::string count = std::to_string(thread_count(facts, rank));
    for (const std::string& name : count_names(facts)) {
      add_as_asked(facts, threads.origin, name, count, variables);
    }
  }
  add_places(facts, rank, variables);
}

void explain_threads(const FamilyFacts& facts, LaunchPlan& plan) {
  plan.reasons.push_back(count_reason(facts, plan));
  const auto& binding = facts.config.resources.omp_binding;
  if (binding.value != OmpBinding::kNone) {
    if (facts.all.all_bound) {
      plan.reasons.push_back({"OMP_PLACES", "a place for each core", binding.origin.text});
    } else {
      plan.warnings.push_back(
          "omp_binding (" + binding.origin.text +
          ") sets nothing: the ranks are not bound, so no core is any rank's own");
    }
  }
  warn_of_thread_settings(facts, plan);
}

}  // namespace muster::plan
