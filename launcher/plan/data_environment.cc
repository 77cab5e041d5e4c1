// Where inputs and outputs are, by the names of each generation (data_plan.h).
#include "launcher/plan/environment_families.h"

namespace muster::plan {

// Inputs before outputs: where both have a name, the older variables are the input's.
void add_data_names(const FamilyFacts& facts, Variables& variables) {
  for (const DataItem& item : facts.plan.data.items) {
    for (const std::string& name : item.variables) {
      if (!is_there(variables, name)) add(variables, name, item.value);
    }
  }
}

void fill_data_names(const StartValues& start, LaunchPlan& plan) {
  set_data_places(plan.data, start.data_directory, start.run_directory);
  const auto& items = plan.data.items;
  for (auto item = items.rbegin(); item != items.rend(); ++item) {  // so that the first one stays
    for (const std::string& name : item->variables) set_own(plan, name, item->value);
  }
}

}  // namespace muster::plan
