#include "launcher/config/dialects/translators.h"

namespace muster::config {

void translate_command_job(const NodePtr& root, Translation& to) {
  to.refuse_key(to.whole(root), "Azure ML v2 command jobs are not read by this version of muster");
}

}  // namespace muster::config
