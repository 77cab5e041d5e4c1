#include "launcher/config/dialects/translators.h"

namespace muster::config {

void translate_batchai_job(const NodePtr& root, Translation& to) {
  to.refuse_key(to.whole(root), "Batch AI jobs are not read by this version of muster");
}

}  // namespace muster::config
