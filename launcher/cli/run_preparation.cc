#include "launcher/cli/run_preparation.h"

#include "launcher/cli/prepare_python.h"
#include "launcher/cli/run_transfers.h"
#include "launcher/cli/source_preparation.h"
#include "launcher/cli/run_data.h"

namespace muster::cli {

Result<> prepare_run(const PreparationContext& context) {
  Preparation preparation(context.stops);
  MUSTER_TRY(preparation.check_stop());
  MUSTER_TRY(prepare_source(context));
  MUSTER_TRY(prepare_python(context));
  MUSTER_TRY(download_inputs(context, preparation));
  context.mounts = make_mounts(context);
  if (context.mounts) MUSTER_TRY(context.mounts->start(preparation));
  return preparation.check_stop();
}

}  // namespace muster::cli
