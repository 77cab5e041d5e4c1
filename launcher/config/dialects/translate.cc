#include "launcher/config/dialects/translators.h"

namespace muster::config {

void translate(Dialect dialect, const NodePtr& root, Translation& to) {
  switch (dialect) {
    case Dialect::kNative: return;
    case Dialect::kRunConfiguration: return translate_run_configuration(root, to);
    case Dialect::kWorkbench: return translate_workbench(root, to);
    case Dialect::kCommandJob: return translate_command_job(root, to);
    case Dialect::kBatchAi: return translate_batchai_job(root, to);
  }
}

}  // namespace muster::config
