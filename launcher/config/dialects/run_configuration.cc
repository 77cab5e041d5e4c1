#include "launcher/config/dialects/translators.h"

namespace muster::config {

void translate_run_configuration(const NodePtr& root, Translation& to) {
  to.refuse_key(to.whole(root),
                "Azure ML v1 run configurations are not read by this version of muster");
}

}  // namespace muster::config
