#include "launcher/cli/run_preparation.h"

#include "launcher/cli/source_preparation.h"

namespace muster::cli {

Result<> prepare_run(const PreparationContext& context) {
  MUSTER_TRY(Preparation(context.stops).check_stop());
  return prepare_source(context);
}

}  // namespace muster::cli
