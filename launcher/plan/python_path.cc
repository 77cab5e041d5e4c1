#include "launcher/plan/python_path.h"

namespace muster::plan {

void put_python_first(LaunchPlan& plan) {
  if (!plan.python.needed()) return;
  const std::string first = plan.python.prefix() + "/bin:";
  for (EnvironmentVariable& variable : plan.common_environment) {
    if (variable.name == "PATH" && !variable.value.starts_with(first)) {
      variable.value = first + variable.value;
    }
  }
}

}  // namespace muster::plan
