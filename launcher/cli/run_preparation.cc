#include "launcher/cli/run_preparation.h"

namespace muster::cli {

Result<> prepare_run(const PreparationContext& context) {
  return Preparation(context.stops).check_stop();
}

}  // namespace muster::cli
