#include "launcher/cli/run_preparation.h"

#include "launcher/cli/prepare_python.h"
#include "launcher/cli/source_preparation.h"

namespace muster::cli {

Result<> prepare_run(const PreparationContext& context) {
  MUSTER_TRY(Preparation(context.stops).check_stop());
  MUSTER_TRY(prepare_source(context));
  return prepare_python(context);
}

}  // namespace muster::cli
