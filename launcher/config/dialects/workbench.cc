#include "launcher/config/dialects/translators.h"

namespace muster::config {

void translate_workbench(const NodePtr& root, Translation& to) {
  to.refuse_key(to.whole(root),
                "Azure ML Workbench run configurations are not read by this version of muster");
}

}  // namespace muster::config
