// AZUREML_*: what says which run and which process this is.
//
// What names things in Azure (subscription, workspace, tokens, a tracking server) is left out: an
// invented one would make a script that reports to Azure ML try to, and fail.  Without them Azure
// ML's own SDK says that the run is offline, and goes on.
#include "launcher/plan/environment_families.h"

namespace muster::plan {

void add_azureml_names(const FamilyFacts&, Variables& variables) {
  add(variables, "AZUREML_RUN_ID", "");
  add(variables, "AZUREML_ARTIFACT_PREFIX_logs", "logs");
  add(variables, "AZUREML_ARTIFACT_PREFIX_STDOUTERR", "azureml-logs");
}

void add_azureml_names(const FamilyFacts&, const RankPlacement& rank, Variables& variables) {
  add(variables, "AZUREML_CR_NODE_RANK", std::to_string(rank.node_rank));
  add(variables, "AZUREML_PROCESS_NAME", "rank_" + std::to_string(rank.rank));
}

void fill_azureml_names(const StartValues& start, LaunchPlan& plan) {
  set_own(plan, "AZUREML_RUN_ID", start.run_id);
}

}  // namespace muster::plan
