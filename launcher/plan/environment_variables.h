// A list of variables in the order in which the plan shows them, and who may set which.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "launcher/plan/launch_plan.h"
#include "launcher/plan/make_plan.h"

namespace muster::plan {

using Variables = std::vector<EnvironmentVariable>;

inline constexpr const char* kMuster = "muster";  // the origin of what Muster says

// Each name stands once: a later value takes the place of the earlier one.
void add(Variables& variables, std::string name, std::string value, std::string origin = kMuster);

bool is_there(const Variables& variables, std::string_view name);

// What ranks have in common, by name; "" when it is not there.
std::string common_value(const LaunchPlan& plan, std::string_view name);

// A value that is known only now.  What the config has set stays.
void set_own(LaunchPlan& plan, std::string_view name, const std::string& value);
void set_own(LaunchPlan& plan, const RankPlacement& rank, std::string_view name,
             const std::string& value);

const config::Setting<std::string>* set_by_config(const config::RunConfig& config,
                                                  std::string_view name);

// A default gives way to the caller's environment and the config's.
class Defaults {
 public:
  Defaults(const config::RunConfig& config, const PlanInputs& inputs)
      : config_(config), inputs_(inputs) {}

  void add_to(Variables& variables, const std::string& name, std::string value) const;

 private:
  const config::RunConfig& config_;
  const PlanInputs& inputs_;
};

}  // namespace muster::plan
