#include "launcher/plan/environment_variables.h"

#include <algorithm>

#include "launcher/plan/environment_names.h"

namespace muster::plan {
namespace {

// A pointer to const or not, as the variables are.
template <typename AnyVariables>
auto* find(AnyVariables& variables, std::string_view name) {
  const auto found = std::find_if(variables.begin(), variables.end(),
                                  [&](const auto& variable) { return variable.name == name; });
  return found == variables.end() ? nullptr : &*found;
}

void set_own_in(Variables& variables, std::string_view name, const std::string& value) {
  EnvironmentVariable* variable = find(variables, name);
  if (variable != nullptr && variable->origin == kMuster) variable->value = value;
}

}  // namespace

void add(Variables& variables, std::string name, std::string value, std::string origin) {
  if (EnvironmentVariable* there = find(variables, name)) {
    *there = {std::move(name), std::move(value), std::move(origin)};
  } else {
    variables.push_back({std::move(name), std::move(value), std::move(origin)});
  }
}

bool is_there(const Variables& variables, std::string_view name) {
  return find(variables, name) != nullptr;
}

std::string common_value(const LaunchPlan& plan, std::string_view name) {
  const EnvironmentVariable* variable = find(plan.common_environment, name);
  return variable == nullptr ? "" : variable->value;
}

void set_own(LaunchPlan& plan, std::string_view name, const std::string& value) {
  set_own_in(plan.common_environment, name, value);
}

void set_own(LaunchPlan& plan, const RankPlacement& rank, std::string_view name,
             const std::string& value) {
  set_own_in(plan.rank_environment[plan.rank_index(rank.rank)], name, value);
}

const config::Setting<std::string>* set_by_config(const config::RunConfig& config,
                                                  std::string_view name) {
  for (const auto& [key, setting] : config.environment_variables) {
    if (key == name) return &setting;
  }
  return nullptr;
}

void Defaults::add_to(Variables& variables, const std::string& name, std::string value) const {
  const bool inherited = inputs_.caller_environment.contains(name) && !is_dropped_from_ranks(name);
  if (inherited || set_by_config(config_, name) != nullptr) return;
  add(variables, name, std::move(value), "muster, default");
}

}  // namespace muster::plan
